"""Looking at the audio files of a recording as they are now."""

import hashlib
from enum import StrEnum
from pathlib import Path
from typing import Any

from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.domain.words import RecordingState
from callrec_pbx.storage.store import RecordingStore

CHUNK = 1 << 20
"""Bytes that are read at once: a recording may be larger than the memory."""

_NO_AUDIO = frozenset({RecordingState.PRUNED, RecordingState.PRUNING, RecordingState.DISCARDED})


class Audio(StrEnum):
    """What an audio file is like now, beside what was written down when it was finished."""

    AGREES = "agrees"
    DIFFERS = "differs"
    MISSING = "missing"
    DELETED = "deleted"
    LEFT = "left"
    REPLACED = "replaced"
    UNFINISHED = "unfinished"
    UNREADABLE = "unreadable"


SAID = {
    Audio.AGREES: "the file as it is now has this checksum",
    Audio.DIFFERS: "THE FILE AS IT IS NOW HAS ANOTHER CHECKSUM: it was changed since",
    Audio.MISSING: "THERE IS NO FILE, and nothing says that it was deleted",
    Audio.DELETED: "the file has been deleted",
    Audio.LEFT: "it is to be deleted, and the file is still there",
    Audio.REPLACED: "this file was replaced by the encoded one, and is no longer kept",
    Audio.UNFINISHED: "no checksum was written down: the recording was not finished",
    Audio.UNREADABLE: "the file is there and could not be read now, so that nothing was compared",
}


def wav(recording: RecordingFacts, store: RecordingStore) -> dict[str, Any]:
    """The file as the PBX wrote it, beside what was written down."""
    size, sha256 = recording.size, recording.sha256
    return _checked(recording, store.audio_path(recording), size, sha256, kept=recording.has_wav)


def encoded(recording: RecordingFacts, store: RecordingStore) -> dict[str, Any] | None:
    """The encoded file; None where there never was one."""
    if not recording.encoded:
        return None
    size, sha256 = recording.encoded_size, recording.encoded_sha256
    found = _checked(recording, store.encoded_path(recording), size, sha256, kept=True)
    return {"format": str(recording.format)} | found


def _checked(
    recording: RecordingFacts, path: Path, size: int | None, sha256: str, *, kept: bool
) -> dict[str, Any]:
    found: dict[str, Any] = {"size": size, "sha256": sha256, "size_now": None, "sha256_now": None}
    try:
        found["size_now"], found["sha256_now"] = _read(path)
        now = _compared(recording, found)
    except FileNotFoundError:
        if recording.state in _NO_AUDIO:
            now = Audio.DELETED
        elif not kept:
            now = Audio.REPLACED
        else:
            now = Audio.MISSING if sha256 else Audio.UNFINISHED
    except OSError as error:
        now = Audio.UNREADABLE
        found["error"] = error.strerror or str(error)
    return found | {"now": str(now), "said": SAID[now]}


def _compared(recording: RecordingFacts, found: dict[str, Any]) -> Audio:
    if recording.state in _NO_AUDIO:
        return Audio.LEFT
    if not found["sha256"]:
        return Audio.UNFINISHED
    return Audio.AGREES if found["sha256"] == found["sha256_now"] else Audio.DIFFERS


def _read(path: Path) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            digest.update(data)
            size += len(data)
    return size, digest.hexdigest()
