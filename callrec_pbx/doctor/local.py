"""Checks of what is on this machine; the PBX need not run."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from callrec_pbx.audio.manifest import PromptError, PromptSet
from callrec_pbx.audio.prompts import verify
from callrec_pbx.catalogue import migrate
from callrec_pbx.config import Config
from callrec_pbx.doctor.finding import Finding, fail, ok, warn
from callrec_pbx.domain.policy import Rule
from callrec_pbx.domain.words import ConsentMode, Mode

MB = 1 << 20
PLENTY = 5
"""Free space below this many times the least is worth a warning."""

NEEDED_ALWAYS = ("unavailable", "paused", "resumed", "started", "discarded")
NEEDED_FOR = {
    ConsentMode.NONE: (),
    ConsentMode.ANNOUNCE: ("announce",),
    ConsentMode.OPT_OUT: ("announce_opt_out", "declined"),
    ConsentMode.OPT_IN: ("announce_opt_in", "accepted", "declined"),
}
"""Prompts without which a rule cannot do what it says."""


def check_config(config: Config) -> Iterator[Finding]:
    """The secret is there, and only for those whom it concerns."""
    secret_file = config.asterisk.secret_file
    if not config.asterisk.secret.get_secret_value():
        yield fail(
            "config",
            f"{config.path}: there is no asterisk.secret, and no file {secret_file}",
            "run `callrec-pbx setup asterisk`, which makes one",
        )
        return
    if secret_file is not None and secret_file.exists() and secret_file.stat().st_mode & 0o007:
        yield warn("config", f"{secret_file}: everybody can read it", f"chmod 640 {secret_file}")
        return
    yield ok("config", f"{config.path}: can be read, {len(config.rules)} rules")


def check_rules(config: Config) -> Iterator[Finding]:
    """There are rules, and each can be reached."""
    if not any(rule.mode is not Mode.NEVER for rule in config.rules):
        yield warn(
            "rules",
            "no rule records anything",
            f"add a [[rule]] to {config.path}; docs/configuration.md has examples",
        )
        return
    everything = next((n for n, rule in enumerate(config.rules) if _matches_all(rule)), None)
    hidden = [] if everything is None else config.rules[everything + 1 :]
    if hidden:
        names = ", ".join(rule.name for rule in hidden)
        yield warn(
            "rules",
            f'never reached, as "{config.rules[everything or 0].name}" matches every call: {names}',
            "move the rule that matches every call to the end",
        )
        return
    yield ok("rules", f"policy {config.policy().version}")


def _matches_all(rule: Rule) -> bool:
    return not (rule.direction or rule.ddi or rule.queue or rule.line or rule.number)


def check_catalogue(config: Config) -> Iterator[Finding]:
    """The database has this version's schema."""
    url = config.catalogue.url
    try:
        found, needed = migrate.current(url), migrate.head()
    except Exception as error:
        yield fail("catalogue", str(error), "make it a database that this user may write")
        return
    if found == needed:
        yield ok("catalogue", f"{url} is at {needed}")
        return
    seen = "is missing or empty" if found is None else f"is at {found}, and not at {needed}"
    yield fail("catalogue", f"{url} {seen}", "run `callrec-pbx migrate`")


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
    folder = config.asterisk.sounds_dir
    remedy = "run `callrec-pbx setup asterisk`"
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
    missing = sorted(
        f"{language}/{name}"
        for language, name in _needed(config)
        if prompts.find(name, language) is None
        and prompts.find(name, config.prompts.language) is None
    )
    if missing:
        yield fail(
            "prompts",
            f"rules need prompts that are not in {folder}: {', '.join(missing)}",
            "import them with `callrec-pbx prompts import`, or choose another language",
        )
        return
    yield ok("prompts", f"{len(prompts.prompts)} in {folder}, as the manifest says")


def _needed(config: Config) -> set[tuple[str, str]]:
    needed = {(config.prompts.language, name) for name in NEEDED_ALWAYS}
    for rule in config.rules:
        if rule.mode is not Mode.NEVER:
            names = [*NEEDED_FOR[rule.consent], *(["whisper"] if rule.whisper else [])]
            needed.update((rule.language, name) for name in names)
    return needed


def prompt_files(folder: Path) -> list[Path]:
    """Return the manifest and every audio file of a prompts folder."""
    return sorted(path for path in folder.rglob("*") if path.is_file())
