"""The two channels that the PBX writes beside a stereo recording, joined when it is closed.

While it is made, a stereo recording is three files: the mixed one, as of any recording, and one for
each direction. The joined file replaces the mixed one by a rename, and then the other two go. So
whatever is killed when, there is a file with all that was said, and doing it again ends the same.
"""

import errno
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from callrec_pbx.audio import stereo, wav
from callrec_pbx.audio.wav import WavError, WavInfo
from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.storage import files
from callrec_pbx.storage.store import RecordingStore

log = structlog.get_logger(__name__)

SLACK_MS = 100
"""A channel that is shorter than the mixed file by more has lost something that the other has."""


def closed(store: RecordingStore, facts: RecordingFacts) -> bool:
    """Whether the PBX has closed both, or never made them."""
    return all(_is_closed(path) for path in store.side_paths(facts))


def _is_closed(path: Path) -> bool:
    try:
        return wav.inspect(path).header_ok
    except (FileNotFoundError, NotADirectoryError):
        return True
    except WavError:
        return False


def join(store: RecordingStore, facts: RecordingFacts, audio: WavInfo | None) -> bool:
    """Make the recording's file one of two channels.

    Where that cannot be done the file stays mixed, and a line in the log says why. The channels
    stay too when there was no room, to be joined by the next listener, and when the mixed file
    has not all that they have.

    Args:
        store: Where they lie.
        facts: A recording that the PBX has closed.
        audio: What the mixed file holds, None for nothing.

    Returns:
        Whether a header of theirs had to be passed over, as the PBX never completed it.

    Raises:
        OSError: a file cannot be read or written; it is worth trying again.
    """
    paths = store.side_paths(facts)
    found = [_measured(path) for path in paths]
    trouble, redundant = _trouble(found, audio)
    mended = False
    if not trouble:
        left, right = (path if info else None for path, info in zip(paths, found, strict=True))
        try:
            store.replace_audio(facts, lambda out: stereo.join(left, right, out))
            mended = any(info is not None and not info.header_ok for info in found)
            redundant = True
        except WavError as error:
            trouble = str(error)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            trouble = f"no room; make some in {store.directory}: the next start tries again"
            redundant = False
    if trouble and (audio is None or audio.channels == 1):
        log.warning("stereo_not_made", recording=facts.recording_id, reason=trouble)
    for path in paths:
        if redundant or _is_empty(path):
            files.remove(str(path))
    return mended


def _trouble(found: list[WavInfo | None], audio: WavInfo | None) -> tuple[str, bool]:
    """Why the two are not to be joined, if so; and whether the file has all that they have."""
    lengths = [info.frames if info is not None else 0 for info in found]
    if not any(lengths):
        return "the PBX has written no channels", False
    if audio is None:
        return "", False
    slack = audio.rate * SLACK_MS // 1000
    whole = audio.frames >= max(lengths) - slack
    if None in found:
        return "a channel is missing", whole
    if min(lengths) < audio.frames - slack:
        return f"of {audio.frames} samples the channels have {lengths[0]} and {lengths[1]}", whole
    return "", whole


def _is_empty(path: Path) -> bool:
    return path.exists() and path.stat().st_size <= wav.PLAIN_HEADER


def _measured(path: Path) -> WavInfo | None:
    """What one of them holds; None when it is not there, or cannot be used."""
    try:
        try:
            return wav.inspect(path)
        except WavError:
            wav.repair(path)
            return wav.inspect(path)
    except (FileNotFoundError, NotADirectoryError, WavError):
        return None


def wait_closed(
    store: RecordingStore,
    facts: RecordingFacts,
    deadline: float,
    sleep: Callable[[float], None],
    poll_s: float,
) -> None:
    """Wait until both are closed, or the time is up (s, of the monotonic clock)."""
    while not closed(store, facts) and time.monotonic() < deadline:
        sleep(poll_s)
