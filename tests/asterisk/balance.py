"""Whether what lies in the recordings directory and what the catalogue says agree."""

import asyncio
import hashlib
from pathlib import Path

from callrec_pbx.audio import wav
from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.words import RecordingState
from tests.asterisk.listener import Listener, ListenerError

KEPT = frozenset({RecordingState.STORED, RecordingState.INTERRUPTED})
GONE = frozenset({RecordingState.DISCARDED, RecordingState.PRUNED})
OVER = KEPT | GONE | {RecordingState.FAILED}
SHARED = ("state", "reason", "call_id", "size", "sha256", "audio_ms", "late_ms")
TRIES_S = 0.05


async def balance(listener: Listener, timeout: float = 20) -> None:
    """See that files, sidecars and rows agree, each call has its outcome, and nothing is open.

    Call it when all calls are over. A listener that runs gets some time for what it still has
    to write; one that is stopped has written all.

    Raises:
        ListenerError: They do not agree; the text says where.
    """
    found = problems(listener)
    try:
        async with asyncio.timeout(timeout if listener.process is not None else 0):
            while found:
                await asyncio.sleep(TRIES_S)
                found = problems(listener)
    except TimeoutError:
        text = "\n".join(found)
        raise ListenerError(f"the account does not balance:\n{text}\n{listener.tail()}") from None


def problems(listener: Listener) -> list[str]:
    """What does not agree, one line each."""
    if not listener.recordings.is_dir():
        return []
    calls = {call.call_id: call for call in listener.call_facts()}
    recordings = {r.recording_id: r for r in listener.recording_facts()}
    found = [f"marker {marker.name}" for marker in listener.markers()]
    for call in calls.values():
        if call.ended_at is None or call.outcome is None:
            found.append(f"call {call.call_id} has no end or no outcome")
    for recording in recordings.values():
        found += _audio(recording, listener.audio(recording))
        if recording.call_id not in calls:
            found.append(f"recording {recording.recording_id} has no call {recording.call_id}")
    known = {listener.audio(recording) for recording in recordings.values()}
    for path in listener.recordings.rglob("*"):
        if path.is_file() and path.suffix != ".json" and path not in known:
            if path.parent.name != "open":
                found.append(f"stray file {path}")
    return found + _rows(listener, calls, recordings)


def _audio(recording: RecordingFacts, audio: Path) -> list[str]:
    name, state = recording.recording_id, recording.state
    if state not in OVER:
        return [f"recording {name} is {state}"]
    if state in GONE:
        return [f"recording {name} is {state} and has audio"] if audio.exists() else []
    if recording.size is None:
        return [] if state is RecordingState.FAILED else [f"recording {name} has no size"]
    if not audio.exists():
        return [f"recording {name} is {state} and has no audio"]
    data = audio.read_bytes()
    found = []
    if (len(data), hashlib.sha256(data).hexdigest()) != (recording.size, recording.sha256):
        found.append(f"recording {name}: {len(data)} bytes are not those that were hashed")
    if state in KEPT and not wav.inspect(audio).header_ok:
        found.append(f"recording {name}: the header does not agree with the file")
    return found


def _rows(
    listener: Listener, calls: dict[str, CallFacts], recordings: dict[str, RecordingFacts]
) -> list[str]:
    if not listener.catalogue.exists():
        return ["there is no catalogue"] if calls or recordings else []
    found = []
    rows = {row["call_id"]: row for row in listener.rows("SELECT * FROM call")}
    for key in calls.keys() ^ rows.keys():
        found.append(f"call {key}: {'no row' if key in calls else 'no sidecar'}")
    for key in calls.keys() & rows.keys():
        for column in ("outcome", "reason", "a_number", "a_name", "merged_into"):
            if getattr(calls[key], column) != rows[key][column]:
                found.append(f"call {key}: {column} is {rows[key][column]!r} in the row")
    rows = {row["recording_id"]: row for row in listener.rows("SELECT * FROM recording")}
    for key in recordings.keys() ^ rows.keys():
        found.append(f"recording {key}: {'no row' if key in recordings else 'no sidecar'}")
    for key in recordings.keys() & rows.keys():
        for column in SHARED:
            if getattr(recordings[key], column) != rows[key][column]:
                found.append(f"recording {key}: {column} is {rows[key][column]!r} in the row")
    return found
