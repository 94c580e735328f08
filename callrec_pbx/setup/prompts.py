"""Which prompts are put on the PBX; an administrator's own are never overwritten."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from callrec_pbx.audio.manifest import (
    SUFFIX_OF_RATE,
    Prompt,
    PromptError,
    PromptSet,
    layout,
    sha256_of,
)
from callrec_pbx.resources import resource_dir
from callrec_pbx.setup.errors import SetupError

MARK_FILE = "callrec.conf"
"""Lies among the prompts; by AST_CONFIG() the doctor asks the PBX whether it sees that folder."""

MARK = b"; Read by `callrec-pbx doctor` through the PBX.\n[callrec]\nprompts = here\n"


@dataclass(slots=True)
class PromptPlan:
    """Files to be: path to content. `kept`: prompts of the administrator, as `en/announce`."""

    files: dict[Path, bytes] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)


def plan_prompts(
    sounds_dir: Path, written: dict[str, str], folders_of_rates: bool = False
) -> PromptPlan:
    """Plan the prompts in `sounds_dir`.

    Args:
        sounds_dir: Where they are installed, a folder for each language.
        written: SHA-256 of every file that an earlier setup wrote, by path.
        folders_of_rates: Whether wide-band audio is in folders, as FreeSWITCH looks for it.

    Raises:
        SetupError: The shipped or the installed prompts cannot be read.
    """
    source = resource_dir("prompts")
    try:
        shipped = PromptSet.load(source)
        installed = _installed(sounds_dir)
    except PromptError as error:
        raise SetupError(str(error)) from error
    plan = PromptPlan()
    there = replace(layout(sounds_dir), folders_of_rates=folders_of_rates)
    wanted: dict[tuple[str, str], Prompt] = {
        (prompt.language, prompt.name): prompt for prompt in installed.prompts if prompt.imported
    }
    for prompt in shipped.prompts:
        own = installed.find(prompt.name, prompt.language)
        files = {
            there.file(prompt.name, prompt.language, rate): layout(source)
            .file(prompt.name, prompt.language, rate)
            .read_bytes()
            for rate in SUFFIX_OF_RATE
        }
        ours: set[str] = set()
        if own is not None and not own.imported:
            ours = {own.sha256, own.sha256_wav16}
        if (own is not None and own.imported) or any(
            _foreign(path, {*ours, sha256_of(content), written.get(str(path), "")})
            for path, content in files.items()
        ):
            plan.kept.append(f"{prompt.language}/{prompt.name}")
            wanted[prompt.language, prompt.name] = own or prompt
            continue
        wanted[prompt.language, prompt.name] = prompt
        plan.files.update(files)
    if not folders_of_rates:
        plan.files[sounds_dir / MARK_FILE] = MARK
    manifest = PromptSet(shipped.version, tuple(wanted.values())).to_json()
    plan.files[there.manifest] = manifest.encode()
    return plan


def _installed(sounds_dir: Path) -> PromptSet:
    if not layout(sounds_dir).manifest.exists():
        return PromptSet("", ())
    return PromptSet.load(sounds_dir)


def _foreign(path: Path, ours: set[str]) -> bool:
    """Whether a file is there whose hash is none of ours."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return False
    return sha256_of(content) not in ours


def without_shipped(sounds_dir: Path) -> bytes | None:
    """Return the manifest of only the administrator's prompts; None when there are none."""
    try:
        installed = _installed(sounds_dir)
    except PromptError:
        return None
    own = tuple(prompt for prompt in installed.prompts if prompt.imported)
    return PromptSet(installed.version, own).to_json().encode() if own else None
