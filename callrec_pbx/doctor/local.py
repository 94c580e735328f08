"""Checks of what is on this machine; the PBX need not run."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from callrec_pbx.audio.manifest import PromptError, PromptSet
from callrec_pbx.audio.prompts import verify
from callrec_pbx.config import Config
from callrec_pbx.doctor.finding import Finding, fail, ok, warn
from callrec_pbx.recorder.prompt_book import NEEDED

MB = 1 << 20
PLENTY = 5
"""Free space below this many times the least is worth a warning."""


def check_config(config: Config) -> Iterator[Finding]:
    """The secret is there, and only for those whom it concerns."""
    freeswitch = config.pbx == "freeswitch"
    key = "freeswitch.password" if freeswitch else "asterisk.secret"
    secret = config.freeswitch.password if freeswitch else config.asterisk.secret
    secret_file = config.freeswitch.password_file if freeswitch else config.asterisk.secret_file
    if not secret.get_secret_value():
        yield fail(
            "config",
            f"{config.path}: there is no {key}, and no file {secret_file}",
            f"run `callrec-pbx setup {config.pbx}`, which makes one"
            + (" (with --secure-event-socket)" if freeswitch else ""),
        )
        return
    if secret_file is not None and secret_file.exists() and secret_file.stat().st_mode & 0o007:
        yield warn("config", f"{secret_file}: everybody can read it", f"chmod 640 {secret_file}")
        return
    yield ok("config", f"{config.path}: can be read")


def check_disk(config: Config) -> Iterator[Finding]:
    """There is room for recordings."""
    folder = config.recordings.directory
    if not folder.is_dir():
        return  # the spool check says so
    free_mb = shutil.disk_usage(folder).free // MB
    least = config.recordings.min_free_mb
    seen = f"{free_mb} MB free in {folder}; nothing is started below {least} MB"
    remedy = "make room, shorten retention, or move recordings.directory to a larger disk"
    if free_mb < least:
        yield fail("disk", seen, remedy)
    elif free_mb < least * PLENTY:
        yield warn("disk", seen, remedy)
    else:
        yield ok("disk", seen)


def check_prompts(config: Config) -> Iterator[Finding]:
    """The prompts are whole, and those that the rules need are there."""
    folder = config.sounds_dir
    remedy = f"run `callrec-pbx setup {config.pbx}`"
    problems = verify(folder)
    if problems:
        shown = "; ".join(problems[:3]) + ("; ..." if len(problems) > 3 else "")  # noqa: PLR2004
        yield fail("prompts", shown, remedy)
        return
    try:
        prompts = PromptSet.load(folder)
    except PromptError as error:
        yield fail("prompts", str(error), remedy)
        return
    language = config.prompts.language
    missing = [name for name in NEEDED if prompts.find(name, language) is None]
    if missing:
        yield fail(
            "prompts",
            f"there is no {language} prompt for {', '.join(missing)} in {folder}",
            "import them with `callrec-pbx prompts import`, or choose another prompts.language",
        )
        return
    yield ok("prompts", f"{len(prompts.prompts)} in {folder}, as the manifest says")


def prompt_files(folder: Path) -> list[Path]:
    """Return the manifest and every audio file of a prompts folder."""
    return sorted(path for path in folder.rglob("*") if path.is_file())
