"""Gathering what is known of one call: its facts, its recordings, and who has done what to them."""

from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from callrec_pbx import __version__
from callrec_pbx.audio.manifest import Prompt
from callrec_pbx.catalogue import audit_queries
from callrec_pbx.catalogue.amend import Place
from callrec_pbx.catalogue.audit_chain import Line, hash_of
from callrec_pbx.catalogue.engine import reading
from callrec_pbx.catalogue.holds import merged_with
from callrec_pbx.catalogue.queries import row_by_prefix
from callrec_pbx.catalogue.rows import CALL, RECORDING, calls_by_id, recordings_of
from callrec_pbx.domain.facts import CallFacts, PauseFacts, RecordingFacts
from callrec_pbx.domain.holds import Hold, covers, covers_call
from callrec_pbx.evidence import checked
from callrec_pbx.evidence.asked import asked, prompts_in
from callrec_pbx.numbers import Numbers
from callrec_pbx.people.versions import POLICY_VERSION, document_sha256, find_version
from callrec_pbx.storage.serial import (
    CallSidecar,
    Sidecar,
    call_to_dict,
    recording_to_dict,
    time_to_text,
    tombstone_to_dict,
)
from callrec_pbx.storage.store import RecordingStore

DOCUMENT = "callrec-pbx evidence"
FORMAT = 1
"""Of the document; it changes when a reader of an earlier one would misunderstand."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What is known of a call.

    Attributes:
        document: As JSON-able values.
        call_id: The call's whole id.
        tenant: Whose call it is.
    """

    document: dict[str, Any]
    call_id: str
    tenant: str


def gather(place: Place, prefix: str, sounds: Path, *, by: str) -> Gathered:
    """Everything that is known of a call, and of those that were merged with it.

    Args:
        place: Where calls and recordings are.
        prefix: The call's id, or the beginning of it.
        sounds: Where the PBX has its prompts.
        by: Who asks.

    Raises:
        NoSuchIdError: no call has that id, or several do.
    """
    prompts = prompts_in([sounds])
    with reading(place.engine).begin() as connection:
        call_id = str(row_by_prefix(connection, CALL, prefix)["call_id"])
        calls = _calls(connection, place.store, merged_with(connection, [call_id]))
        recordings = _recordings(connection, place.store, [one.call.call_id for one in calls])
        policies = _policies(connection, calls, recordings)
        holding = _Holding(place.store.holds.all(), [one.call for one in calls])
        shown_calls = [_call(one, holding, prompts) for one in calls]
        subjects = [one.call.call_id for one in calls]
        subjects += [one.recording.recording_id for one, _ in recordings]
        lines = audit_queries.lines_about(connection, subjects)
        lines += audit_queries.lines_about(connection, list(policies), "version")
        lines += audit_queries.lines_about(connection, holding.ids(recordings), "hold")
        tenants = {"", *(one.call.tenant for one in calls), *(line.tenant for line in lines)}
        heads = [
            asdict(head)
            for tenant in sorted(tenants)
            for head in audit_queries.heads(connection, tenant)
        ]
    by_id = {one.call.call_id: one.call for one in calls}
    document = {
        "document": DOCUMENT,
        "format": FORMAT,
        "product_version": __version__,
        "made_at": time_to_text(datetime.now(UTC)),
        "made_by": by,
        "call_id": call_id,
        "merged": len(calls) > 1,
        "holds_not_read": [str(one) for one in place.store.holds.broken()],
        "calls": shown_calls,
        "recordings": [_recording(place.store, one, source, holding) for one, source in recordings],
        "policies": list(policies.values()),
        "audit": {"lines": [_line(one) for one in lines], "heads": heads},
    }
    return Gathered(document, call_id, by_id[call_id].tenant)


def _calls(connection: Connection, store: RecordingStore, ids: set[str]) -> list[CallSidecar]:
    """The calls, as their sidecars have them where those are there; the earliest first."""
    found = []
    for row in calls_by_id(connection, sorted(ids)).values():
        try:
            sidecar = store.read_call_sidecar(store.call_path(row.call))
        except (OSError, ValueError):
            sidecar = row
        found.append(sidecar if sidecar.call.call_id == row.call.call_id else row)
    return sorted(found, key=lambda one: (one.call.started_at, one.call.call_id))


def _recordings(
    connection: Connection, store: RecordingStore, call_ids: list[str]
) -> list[tuple[Sidecar, str]]:
    """The recordings of calls, and whether that is what the sidecar or the row says."""
    query = select(RECORDING).where(RECORDING.c.call_id.in_(call_ids))
    query = query.order_by(RECORDING.c.created_at, RECORDING.c.recording_id)
    rows = recordings_of(connection, connection.execute(query).mappings().all())
    calls = calls_by_id(connection, call_ids)
    found = []
    for row in rows:
        facts = row.recording
        one, source = Sidecar(facts, calls[facts.call_id].call, row.tombstone), "catalogue"
        with suppress(OSError, ValueError):
            sidecar = store.read_sidecar(store.sidecar_path(facts))
            if sidecar.recording.recording_id == facts.recording_id:
                one, source = sidecar, "sidecar"
        found.append((one, source))
    return found


def _policies(
    connection: Connection, calls: list[CallSidecar], recordings: list[tuple[Sidecar, str]]
) -> dict[str, dict[str, Any]]:
    """The versions of the policy that decided, by their names."""
    names = [one.call.policy_version for one in calls]
    names += [one.recording.policy_version for one, _ in recordings]
    return {name: _policy(connection, name) for name in dict.fromkeys(names) if name}


def _policy(connection: Connection, name: str) -> dict[str, Any]:
    known = find_version(connection, int(name)) if name.isdecimal() else None
    if known is None:
        return {"version": name, "known": False}
    query = select(POLICY_VERSION.c.version, POLICY_VERSION.c.document)
    query = query.where(
        POLICY_VERSION.c.version <= known.version, POLICY_VERSION.c.document.is_not(None)
    )
    text = connection.execute(query.order_by(POLICY_VERSION.c.version.desc()).limit(1)).first()
    return {
        "version": name,
        "known": True,
        "at": time_to_text(known.at),
        "author": known.author,
        "kind": str(known.kind),
        "text_version": None if text is None else str(text.version),
        "text_sha256": None if text is None else document_sha256(text.document),
    }


class _Holding:
    """The legal holds, released ones too, that are about a conversation."""

    def __init__(self, holds: tuple[Hold, ...], calls: list[CallFacts]) -> None:
        self._holds = holds
        self._calls = {call.call_id: call for call in calls}
        self._numbers = Numbers()

    def ids(self, recordings: list[tuple[Sidecar, str]]) -> list[str]:
        of_calls = [self.of_call(call) for call in self._calls.values()]
        of_recordings = [self.of_recording(one.recording) for one, _ in recordings]
        return sorted({hold.hold_id for several in of_calls + of_recordings for hold in several})

    def of_call(self, call: CallFacts) -> list[Hold]:
        others = self._others(call)
        return [one for one in self._holds if covers_call(one, call, others, self._numbers)]

    def of_recording(self, recording: RecordingFacts) -> list[Hold]:
        call = self._calls.get(recording.call_id)
        others = self._others(call)
        return [one for one in self._holds if covers(one, recording, call, others, self._numbers)]

    def _others(self, call: CallFacts | None) -> list[CallFacts]:
        return [one for one in self._calls.values() if one is not call]


def _call(one: CallSidecar, holding: _Holding, prompts: tuple[Prompt, ...]) -> dict[str, Any]:
    facts = call_to_dict(one.call)
    facts["consents"] = [asked(consent, prompts) for consent in one.call.consents]
    facts["ended"] = one.call.ended_at is not None
    facts["tombstone"] = tombstone_to_dict(one.tombstone)
    facts["holds"] = [_hold(hold) for hold in holding.of_call(one.call)]
    return facts


def _recording(
    store: RecordingStore, one: Sidecar, source: str, holding: _Holding
) -> dict[str, Any]:
    recording = one.recording
    return {
        "facts": recording_to_dict(recording),
        "facts_from": source,
        "wav": checked.wav(recording, store),
        "encoded": checked.encoded(recording, store),
        "pauses": [_pause(pause) for pause in recording.pauses],
        "holds": [_hold(hold) for hold in holding.of_recording(recording)],
        "deletion": _deletion(recording),
        "tombstone": tombstone_to_dict(one.tombstone),
    }


def _pause(pause: PauseFacts) -> dict[str, Any]:
    length = None if pause.to_ms is None else pause.to_ms - pause.from_ms
    return {"from_ms": pause.from_ms, "to_ms": pause.to_ms, "length_ms": length}


def _deletion(recording: RecordingFacts) -> dict[str, Any] | None:
    if recording.deletion_at is None:
        return None
    return {
        "at": time_to_text(recording.deletion_at),
        "by": recording.deletion_by,
        "why": recording.deletion_why,
    }


def _hold(hold: Hold) -> dict[str, Any]:
    """A hold without what it is about, which may be the number of somebody else's call."""
    released = hold.released_at
    return {
        "hold_id": hold.hold_id,
        "kind": str(hold.kind),
        "reason": hold.reason,
        "placed_at": time_to_text(hold.placed_at),
        "placed_by": hold.placed_by,
        "released_at": None if released is None else time_to_text(released),
        "released_by": hold.released_by,
        "release_why": hold.release_why,
    }


def _line(line: Line) -> dict[str, Any]:
    try:
        agrees = hash_of(line) == line.hash
    except ValueError:
        agrees = False
    return asdict(line) | {"hash_agrees": agrees}
