"""Prompts: find them, import them, check them.

On the PBX they lie below its sounds, as `callrec/<language>/<name>`.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from callrec_pbx.audio.manifest import (
    SET_VERSION,
    SUFFIX_OF_RATE,
    Layout,
    Prompt,
    PromptError,
    PromptSet,
    check_language,
    check_name,
    check_text,
    layout,
    replace_files,
    sha256_of,
)
from callrec_pbx.resources import resource_dir

__all__ = [
    "Prompt",
    "PromptError",
    "PromptSet",
    "import_prompt",
    "shipped_prompts_dir",
    "verify",
]


def shipped_prompts_dir() -> Path:
    """Return the directory of the shipped prompts."""
    return resource_dir("prompts") / "audio"


def import_prompt(
    source: Path, *, name: str, language: str, target: Path, text: str = ""
) -> Prompt:
    """Make an audio file a prompt of the directory `target`, in place of any of that name.

    Args:
        source: an audio file of any usual format, at most 60 s.
        name: of the prompt, such as `announce_opt_out`, or a new one.
        language: such as `de`; its folder is made where there is none.
        target: the prompts directory, in either layout; an empty directory will do.
        text: the spoken words, kept as evidence of what was announced.

    Raises:
        PromptError: refused; nothing has been changed.
    """
    check_name(name)
    check_language(language)
    check_text(text)
    if not target.is_dir():
        raise PromptError(
            "dir", target, "is not a directory", "give the directory of the installed prompts"
        )
    # Loaded on use, so that a running recorder carries no numpy, soxr or pydub.
    from callrec_pbx.audio.convert import convert  # noqa: PLC0415

    converted = convert(source)
    place = layout(target)
    try:
        with _locked(place.manifest.parent):
            prompts = _load_or_new(target, place)
            wavs = converted.wav_of_rate
            digest = sha256_of(wavs[8000])
            prompt = Prompt(
                name=name,
                language=language,
                text=text,
                sha256=digest,
                duration_ms=converted.duration_ms,
                version=f"i{digest[:11]}",
                sha256_wav16=sha256_of(wavs[16000]),
                imported=True,
            )
            contents = {place.file(name, language, rate): wav for rate, wav in wavs.items()}
            # Last: until it is in place the old manifest shows the change as a mismatch.
            contents[place.manifest] = prompts.with_prompt(prompt).to_json().encode()
            with _folder(place.audio / language), _folder(place.file(name, language, 16000).parent):
                replace_files(contents)
    except OSError as error:
        raise PromptError(
            "dir",
            target,
            f"cannot be written ({error.strerror})",
            "check permissions and free space",
        ) from error
    return prompt


def verify(directory: Path) -> list[str]:
    """Compare the audio of a prompts directory with its manifest.

    Returns:
        One line per problem; none when all is well.
    """
    try:
        prompts = PromptSet.load(directory)
    except PromptError as error:
        return [str(error)]
    place = layout(directory)
    problems: list[str] = []
    known: set[Path] = set()
    for prompt in prompts.prompts:
        for rate, digest in ((8000, prompt.sha256), (16000, prompt.sha256_wav16)):
            path = place.file(prompt.name, prompt.language, rate)
            known.add(path)
            problem = _problem_of(path, digest)
            if problem:
                problems.append(f"{path}: {problem}")
    problems.extend(
        f"{path}: not in the manifest; import it with `callrec-pbx prompts import`"
        for path in sorted([*place.audio.glob("*/*"), *place.audio.glob("*/16000/*")])
        if path.suffix in SUFFIX_OF_RATE.values() and path not in known
    )
    return problems


def _problem_of(path: Path, digest: str) -> str | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return "missing; run `callrec-pbx setup` or import it again"
    except OSError as error:
        return f"cannot be read ({error.strerror}); check its permissions"
    if digest and sha256_of(data) != digest:
        return "differs from the manifest; run `callrec-pbx setup` or import it again"
    return None


def _load_or_new(target: Path, place: Layout) -> PromptSet:
    if not place.manifest.exists() and not any(target.iterdir()):
        return PromptSet(SET_VERSION, ())
    return PromptSet.load(target)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keep two imports at one time from losing each other's manifest entry."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Some network file systems cannot lock a directory; importing there is still possible.
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _folder(path: Path) -> Iterator[None]:
    """Make a folder that the PBX's user can enter; take it away again if what follows fails."""
    made = not path.exists()
    if made:
        path.mkdir()
        path.chmod(0o755)
    try:
        yield
    except BaseException:
        if made:
            with contextlib.suppress(OSError):
                path.rmdir()
        raise
