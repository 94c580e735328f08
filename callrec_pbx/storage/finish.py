"""What is done when the PBX has closed a recording's file: join, measure, mend, hash, date."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from callrec_pbx.audio import wav
from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.domain.plans import parse
from callrec_pbx.domain.words import AudioFormat, Channels, FollowUp, RecordingState
from callrec_pbx.storage import sides
from callrec_pbx.storage.store import RecordingStore

WAIT_S = 3.0
"""How long the PBX may take to write the header of a file that it has reported closed."""
_POLL_S = 0.02
_TWO = 2

_FINISHABLE = frozenset(
    {RecordingState.CAPTURED, RecordingState.INTERRUPTED, RecordingState.FAILED}
)


def finish(
    store: RecordingStore,
    facts: RecordingFacts,
    *,
    wait_s: float = WAIT_S,
    sleep: Callable[[float], None] = time.sleep,
    names: bool = False,
) -> RecordingFacts:
    """Complete the facts of a recording whose file the PBX has closed. Blocks; run in a thread.

    Done twice it gives the same facts (but for `repaired`, which stays set once it was).

    Args:
        store: Where the audio lies.
        facts: A recording that is captured, interrupted or failed; others are returned as they are.
        wait_s: How long to wait for the header to agree with the file; 0 when the PBX is gone.
        sleep: How to wait.
        names: Whether recordings get names for people on the disk.

    Returns:
        The facts with length, size, checksum and date of deletion. A captured recording is stored
        now; one without audio has failed for `no_audio`, one that is no WAV file for
        `unreadable_audio`. `channels` says what the file is, mixed where no stereo could be made.
        `to_do` says what work is to follow. One whose WAV file was replaced by then is complete,
        and gets what its sidecar says.

    Raises:
        OSError: the file cannot be read; it is worth trying again.
    """
    if facts.state not in _FINISHABLE:
        return facts
    facts = replace(facts, delete_after=_delete_after(facts))
    path = store.audio_path(facts)
    known = _replaced(store, facts)
    if known is not None:
        return known
    deadline = time.monotonic() + wait_s
    info = _settled(path, deadline, sleep)
    repaired = False
    if facts.channels is Channels.STEREO:
        sides.wait_closed(store, facts, deadline, sleep, _POLL_S)
        repaired = sides.join(store, facts, None if info is _UNKNOWN else info)
        info = _settled(path, deadline=0, sleep=sleep)
    if info is None:
        return _failed(facts, "no_audio")
    try:
        repaired = (not info.header_ok and wav.repair(path)) or repaired
        info = wav.inspect(path)
    except wav.WavError:
        measured = replace(facts, size=path.stat().st_size, sha256=wav.sha256(path))
        return _failed(measured, "unreadable_audio")
    facts = replace(
        facts,
        audio_ms=info.duration_ms,
        size=path.stat().st_size,
        sha256=wav.sha256(path),
        repaired=facts.repaired or repaired,
        channels=Channels.STEREO if info.channels == _TWO else Channels.MIXED,
    )
    if facts.state is RecordingState.CAPTURED:
        facts = replace(facts, state=RecordingState.STORED)
    return replace(facts, to_do=_to_do(store, facts, names=names))


def _to_do(store: RecordingStore, facts: RecordingFacts, *, names: bool) -> tuple[FollowUp, ...]:
    """What is to follow on a recording with audio."""
    if facts.state is RecordingState.FAILED:
        return ()
    # With its channels still beside it the next start finishes it again: it stays as it is.
    unjoined = any(side.exists() for side in store.side_paths(facts))
    encode = facts.format is not AudioFormat.WAV and not unjoined
    return (
        *((FollowUp.ENCODE,) if encode else ()),
        FollowUp.WAVEFORM,
        *((FollowUp.NAME,) if names else ()),
    )


def _replaced(store: RecordingStore, facts: RecordingFacts) -> RecordingFacts | None:
    """What is known of a recording whose WAV file was replaced; None when it was not."""
    if facts.format is AudioFormat.WAV or store.audio_path(facts).exists():
        return None
    if any(side.exists() for side in store.side_paths(facts)):
        return None
    known = store.known(facts)
    if known is None or not known.encoded or not store.encoded_path(facts).is_file():
        return None
    stored = facts.state is RecordingState.CAPTURED
    return replace(
        known,
        state=RecordingState.STORED if stored else facts.state,
        reason=facts.reason,
    )


def _settled(path: Path, deadline: float, sleep: Callable[[float], None]) -> wav.WavInfo | None:
    """What the file holds once its header agrees, or when the time is up; None for no samples."""
    while True:
        info = _look(path)
        if (info is not None and info.header_ok) or time.monotonic() >= deadline:
            return info if info is not None and info.frames else None
        sleep(_POLL_S)


_UNKNOWN = wav.WavInfo(8000, 1, 2, 1, 0, header_ok=False)


def _look(path: Path) -> wav.WavInfo | None:
    try:
        if path.stat().st_size <= wav.PLAIN_HEADER:
            return None
        return wav.inspect(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except wav.WavError:
        return _UNKNOWN


def _failed(facts: RecordingFacts, reason: str) -> RecordingFacts:
    """Failed for that reason, unless it had failed for another before."""
    if facts.state is RecordingState.FAILED and facts.reason:
        return facts
    return replace(facts, state=RecordingState.FAILED, reason=reason)


def _delete_after(facts: RecordingFacts) -> datetime | None:
    return parse(facts.retention).after(facts.ended_at or facts.created_at)
