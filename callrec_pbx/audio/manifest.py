"""The manifest of a prompts directory: which prompts there are, and what each file must be.

Three layouts are known. In the source tree and the wheel the manifest lies beside `audio/`; on a
PBX it lies among the language folders:

    prompts/manifest.json, prompts/audio/<lang>/<name>.wav
    <sounds>/callrec/manifest.json, <sounds>/callrec/<lang>/<name>.wav

The same prompt at 16 kHz is `<name>.wav16` beside it, and on FreeSWITCH `16000/<name>.wav`.
"""

import hashlib
import json
import os
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
SET_VERSION = "1"
# Suffix per sample rate in Hz. Source: Asterisk 22, formats/format_wav.c (extensions wav, wav16).
SUFFIX_OF_RATE = {8000: ".wav", 16000: ".wav16"}
LEAST_RATE_HZ, WIDE_RATE_HZ = SUFFIX_OF_RATE

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_LANGUAGE = re.compile(r"[a-z]{2}(-[a-z0-9]{1,8})?")
_TEXT_CHARACTERS = 1000
_SHOWN_CHARACTERS = 160
_SHA256 = re.compile(r"[0-9a-f]{64}")


class PromptError(ValueError):
    """A prompt, or a directory of prompts, cannot be used; the administrator must mend it."""

    def __init__(self, field: str, value: object, problem: str, remedy: str) -> None:
        shown = repr(str(value))
        if len(shown) > _SHOWN_CHARACTERS:
            shown = shown[:_SHOWN_CHARACTERS] + "..."
        super().__init__(f"{field} {shown}: {problem}; {remedy}")
        self.field = field


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt in one language.

    `sha256` and `duration_ms` are those of the 8 kHz file. `version` is the version of the
    shipped set, or, for an imported prompt, a short string made from its content.
    """

    name: str
    language: str
    text: str
    sha256: str
    duration_ms: int
    version: str
    sha256_wav16: str = ""
    imported: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the manifest and the language folders of a prompts directory lie.

    `folders_of_rates`: whether a rate other than 8 kHz has a folder of its own, in which
    FreeSWITCH looks for it. Source: FreeSWITCH 1.11, mod_sndfile.c (sndfile_file_open).
    """

    manifest: Path
    audio: Path
    folders_of_rates: bool = False

    def file(self, name: str, language: str, rate_hz: int) -> Path:
        """Return the path of one audio file, which need not exist."""
        if self.folders_of_rates and rate_hz != LEAST_RATE_HZ:
            return self.audio / language / str(rate_hz) / (name + SUFFIX_OF_RATE[LEAST_RATE_HZ])
        return self.audio / language / (name + SUFFIX_OF_RATE[rate_hz])


def layout(directory: Path) -> Layout:
    """Tell which of the layouts a prompts directory has."""
    own = directory / MANIFEST
    if own.is_file() and (directory / "audio").is_dir():
        return Layout(own, directory / "audio")
    if directory.name == "audio" and not own.is_file() and (directory.parent / MANIFEST).is_file():
        return Layout(directory.parent / MANIFEST, directory)
    return Layout(own, directory, any(directory.glob(f"*/{WIDE_RATE_HZ}")))


@dataclass(frozen=True, slots=True)
class PromptSet:
    """The prompts of one directory, as its manifest lists them."""

    version: str
    prompts: tuple[Prompt, ...]
    _index: dict[tuple[str, str], Prompt] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index = {(prompt.language, prompt.name): prompt for prompt in self.prompts}
        object.__setattr__(self, "_index", index)

    @classmethod
    def load(cls, directory: Path) -> "PromptSet":
        """Read the manifest of a prompts directory.

        Raises:
            PromptError: there is no manifest, or it is not one.
        """
        path = layout(directory).manifest
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise PromptError(
                "manifest",
                path,
                f"cannot be read ({error.strerror})",
                "give the directory that `callrec-pbx setup` installed the prompts in",
            ) from error
        except ValueError as error:
            raise _broken(path, f"is not JSON ({error})") from error
        return _parse(document, path)

    def find(self, name: str, language: str) -> Prompt | None:
        """Return the prompt of exactly this name and language, or None."""
        return self._index.get((language, name))

    def with_prompt(self, prompt: Prompt) -> "PromptSet":
        """Return a set in which `prompt` takes the place of any of its name and language."""
        others = (p for p in self.prompts if (p.language, p.name) != (prompt.language, prompt.name))
        return PromptSet(self.version, (*others, prompt))

    def to_json(self) -> str:
        """Write the set as the text of a manifest, always in the same order."""
        ordered = sorted(self.prompts, key=lambda p: (p.language, p.name))
        document = {"version": self.version, "prompts": [_entry(p) for p in ordered]}
        return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def check_name(name: str) -> None:
    """Raise PromptError unless `name` can be the name of a prompt (and so of a file)."""
    if not _NAME.fullmatch(name):
        raise PromptError(
            "name",
            name,
            "is not a prompt name",
            "use a lower-case letter, then up to 39 lower-case letters, digits or underscores",
        )


def check_language(language: str) -> None:
    """Raise PromptError unless `language` can be a language (and so a folder)."""
    if not _LANGUAGE.fullmatch(language):
        raise PromptError(
            "language",
            language,
            "is not a language code",
            "use two lower-case letters, with a lower-case variant if need be: de, en, de-at",
        )


def check_text(text: str) -> None:
    """Raise PromptError unless `text` is one line of at most 1,000 printable characters."""
    if len(text) > _TEXT_CHARACTERS or not text.isprintable():
        raise PromptError(
            "text",
            text,
            "is too long or has control characters",
            "give the spoken words in one line of at most 1,000 characters",
        )


def replace_files(contents: dict[Path, bytes]) -> None:
    """Replace files one by one, in order, each atomically and on disk before it is renamed.

    Nothing is renamed before every file has been written in full, so a full disk changes
    nothing. A file is readable by all: the PBX runs as another user.

    Raises:
        OSError: a file cannot be written.
    """
    temporary: dict[Path, Path] = {}
    try:
        for path, data in contents.items():
            handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
            temporary[path] = Path(name)
            with os.fdopen(handle, "wb") as stream:
                os.fchmod(stream.fileno(), 0o644)
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
        for path in contents:
            temporary[path].replace(path)
            del temporary[path]
            _sync_directory(path.parent)
    finally:
        for left_over in temporary.values():
            left_over.unlink(missing_ok=True)


def sha256_of(data: bytes) -> str:
    """Return the SHA-256 of `data` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _entry(prompt: Prompt) -> dict[str, object]:
    entry: dict[str, object] = {
        "name": prompt.name,
        "language": prompt.language,
        "text": prompt.text,
        "sha256": prompt.sha256,
        "duration_ms": prompt.duration_ms,
    }
    if prompt.sha256_wav16:
        entry["sha256_wav16"] = prompt.sha256_wav16
    if prompt.imported:
        entry["version"] = prompt.version
    return entry


def _parse(document: Any, path: Path) -> PromptSet:
    if not isinstance(document, dict):
        raise _broken(path, "is not an object")
    version, entries = document.get("version"), document.get("prompts")
    if not isinstance(version, str) or not version:
        raise _broken(path, "has no version")
    if not isinstance(entries, list):
        raise _broken(path, "has no list of prompts")
    prompts: dict[tuple[str, str], Prompt] = {}
    for number, entry in enumerate(entries, 1):
        prompt = _parse_entry(entry, number, version, path)
        if (prompt.language, prompt.name) in prompts:
            raise _broken(path, f"lists {prompt.language}/{prompt.name} twice")
        prompts[prompt.language, prompt.name] = prompt
    return PromptSet(version, tuple(prompts.values()))


def _parse_entry(entry: Any, number: int, version: str, path: Path) -> Prompt:
    if not isinstance(entry, dict):
        raise _broken(path, f"entry {number} is not an object")

    def text(key: str, default: str | None = None) -> str:
        value = entry.get(key, default)
        if not isinstance(value, str):
            raise _broken(path, f"entry {number} has no {key}")
        return value

    duration_ms = entry.get("duration_ms")
    if not isinstance(duration_ms, int) or isinstance(duration_ms, bool) or duration_ms < 0:
        raise _broken(path, f"entry {number} has no duration_ms")
    prompt = Prompt(
        name=text("name"),
        language=text("language"),
        text=text("text", ""),
        sha256=text("sha256"),
        duration_ms=duration_ms,
        version=text("version", version),
        sha256_wav16=text("sha256_wav16", ""),
        imported="version" in entry,
    )
    # Name and language become parts of a path, so a manifest is trusted no more than a user.
    try:
        check_name(prompt.name)
        check_language(prompt.language)
    except PromptError as error:
        raise _broken(path, f"entry {number}: {error}") from error
    if not _SHA256.fullmatch(prompt.sha256):
        raise _broken(path, f"entry {number} has no sha256")
    return prompt


def _broken(path: Path, problem: str) -> PromptError:
    return PromptError(
        "manifest", path, problem, "install the prompts again with `callrec-pbx setup`"
    )
