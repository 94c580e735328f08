"""Whether what lies in the recordings directory and what the catalogue says agree."""

# ruff: noqa: ASYNC109 - a deadline is part of what a test says

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from callrec_pbx.audio import wav
from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.words import RecordingState
from callrec_pbx.storage import named
from tests.calls.listener import Listener, ListenerError

KEPT = frozenset({RecordingState.STORED, RecordingState.INTERRUPTED})
GONE = frozenset({RecordingState.DISCARDED, RecordingState.PRUNED})
OVER = KEPT | GONE | {RecordingState.FAILED}
OF_RECORDING = (
    *("state", "reason", "call_id", "size", "sha256", "audio_ms", "late_ms"),
    *("encoded_size", "encoded_sha256", "named"),
)
OF_CALL = ("outcome", "reason", "a_number", "a_name", "merged_into")
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
    return [
        *(f"marker {marker.name}" for marker in listener.markers()),
        *(f"call {c.call_id} has no end" for c in calls.values() if c.ended_at is None),
        *(f"call {c.call_id} has no outcome" for c in calls.values() if c.outcome is None),
        *(line for r in recordings.values() for line in _audio(r, listener.audio(r))),
        *(line for r in recordings.values() for line in _encoded(r, listener)),
        *(
            f"recording {r.recording_id} has no call"
            for r in recordings.values()
            if r.call_id not in calls
        ),
        *(f"stray file {path}" for path in _strays(listener, recordings)),
        *_rows(listener, calls, recordings),
    ]


def _strays(listener: Listener, recordings: dict[str, RecordingFacts]) -> list[Path]:
    known = {listener.audio(recording) for recording in recordings.values()}
    store = listener.store()
    for recording in recordings.values():
        known |= {store.listen_path(recording), *named.paths_of(store.directory, recording)}
    return [
        path
        for path in listener.recordings.rglob("*")
        if path.is_file() and path.suffix != ".json" and path not in known
        if path.parent.name != "open" and not path.name.startswith(".")
    ]


def _audio(recording: RecordingFacts, audio: Path) -> list[str]:
    name, state = recording.recording_id, recording.state
    if state not in OVER:
        return [f"recording {name} is {state}"]
    if state in GONE:
        return [f"recording {name} is {state} and has audio"] if audio.exists() else []
    if recording.size is None:
        return [] if state is RecordingState.FAILED else [f"recording {name} has no size"]
    if not recording.has_wav:
        return [f"recording {name} was encoded and has its WAV file"] if audio.exists() else []
    if not audio.exists():
        return [f"recording {name} is {state} and has no audio"]
    data = audio.read_bytes()
    found = []
    if (len(data), hashlib.sha256(data).hexdigest()) != (recording.size, recording.sha256):
        found.append(f"recording {name}: {len(data)} bytes are not those that were hashed")
    if state in KEPT and not wav.inspect(audio).header_ok:
        found.append(f"recording {name}: the header does not agree with the file")
    return found


def _encoded(recording: RecordingFacts, listener: Listener) -> list[str]:
    """The encoded file is what was encoded, and the name leads to it."""
    if not recording.encoded:
        return []
    store, name = listener.store(), recording.recording_id
    paths = (store.encoded_path(recording), *named.paths_of(store.directory, recording))
    wanted = (recording.encoded_size, recording.encoded_sha256)
    return [
        f"recording {name}: {path} is not what was encoded"
        for path in paths
        if not path.exists() or (path.stat().st_size, wav.sha256(path)) != wanted
    ]


def _rows(
    listener: Listener, calls: dict[str, CallFacts], recordings: dict[str, RecordingFacts]
) -> list[str]:
    if not listener.catalogue.exists():
        return ["there is no catalogue"] if calls or recordings else []
    return [
        *_compare(calls, listener.rows("SELECT * FROM call"), "call", OF_CALL),
        *_compare(recordings, listener.rows("SELECT * FROM recording"), "recording", OF_RECORDING),
    ]


def _compare(
    facts: Mapping[str, object], found: list[dict[str, Any]], kind: str, columns: tuple[str, ...]
) -> list[str]:
    rows = {row[f"{kind}_id"]: row for row in found}
    return [
        *(f"{kind} {key} has no row" for key in facts.keys() - rows.keys()),
        *(f"{kind} {key} has no sidecar" for key in rows.keys() - facts.keys()),
        *(
            f"{kind} {key}: {column} is {rows[key][column]!r} in the row"
            for key in facts.keys() & rows.keys()
            for column in columns
            if getattr(facts[key], column) != rows[key][column]
        ),
    ]
