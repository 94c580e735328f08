"""What is written down of an erasure: enough to go on after a crash, and to prove it; no number."""

import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from callrec_pbx.domain.words import RecordingState
from callrec_pbx.retention.erase_find import EraseError, Match, Stays
from callrec_pbx.storage import files
from callrec_pbx.storage.serial import time_to_text

FOLDER = "erasures"
FOLDER_MODE = 0o2770
FILE_MODE = 0o660
SCHEMA = 1

_ID = re.compile(r"[0-9]{8}-[0-9a-f]{8}")

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Erasure:
    """One erasure.

    Attributes:
        reference: What the request is called elsewhere, such as a ticket.
        calls: The calls that it is about, with their recordings, as documents.
        finished_at: None: it was cut off, or is under way.
        left: What was not erased, and why, as documents.
    """

    erasure_id: str
    begun_at: datetime
    by: str
    reference: str
    tenant: str
    calls: tuple[Document, ...]
    finished_at: datetime | None = None
    left: tuple[Document, ...] = ()

    @property
    def why(self) -> str:
        """The reason on the tombstones."""
        return f"erasure {self.erasure_id}" + (f" ({self.reference})" if self.reference else "")

    @property
    def call_ids(self) -> tuple[str, ...]:
        """The calls that it is about."""
        return tuple(call["call_id"] for call in self.calls)


def begin(by: str, reference: str, tenant: str, matches: Iterable[Match]) -> Erasure:
    """An erasure that is not written down yet."""
    now = datetime.now(UTC)
    erasure_id = f"{now:%Y%m%d}-{secrets.token_hex(4)}"
    return Erasure(erasure_id, now, by, reference, tenant, tuple(map(_call, matches)))


def with_more(erasure: Erasure, matches: Iterable[Match]) -> Erasure:
    """The erasure with calls that were found later."""
    known = set(erasure.call_ids)
    more = tuple(_call(match) for match in matches if match.call.call.call_id not in known)
    return replace(erasure, calls=(*erasure.calls, *more), finished_at=None)


def ended(erasure: Erasure, matches: Iterable[Match], stays: Iterable[Stays]) -> Erasure:
    """The erasure with what has become of each call, by what is there now."""
    left = {(one.kind, one.subject): {"kind": one.kind, "id": one.subject, "why": one.why}
            for one in stays}  # fmt: skip
    now = {match.call.call.call_id: match for match in matches}
    calls = []
    for call in erasure.calls:
        match = now.get(call["call_id"])
        if match is not None:
            calls.append(_ended(call, match, left))
    return replace(
        erasure, calls=tuple(calls), left=tuple(left.values()), finished_at=datetime.now(UTC)
    )


def _call(match: Match) -> Document:
    call = match.call.call
    return {
        "call_id": call.call_id,
        "started_at": time_to_text(call.started_at),
        "cleared_at": None,
        "recordings": [
            {
                "recording_id": facts.recording_id,
                "created_at": time_to_text(facts.created_at),
                "ended_at": facts.ended_at and time_to_text(facts.ended_at),
                "audio_ms": facts.audio_ms,
                "size": facts.size,
                "sha256": facts.sha256,
                "encoded_sha256": facts.encoded_sha256,
                "erased_at": None,
            }
            for facts in (row.recording for row in match.recordings)
        ],
    }


def _ended(call: Document, match: Match, left: dict[tuple[str, str], Document]) -> Document:
    tombstone = match.call.tombstone
    if tombstone is None:
        why = "a recording of it was kept, or it could not be cleared"
        left.setdefault(("call", call["call_id"]), _left("call", call["call_id"], why))
    rows = {row.recording.recording_id: row for row in match.recordings}
    recordings = []
    for document in call["recordings"]:
        row = rows.get(document["recording_id"])
        gone = row is not None and row.recording.state is RecordingState.PRUNED
        at = row.tombstone.pruned_at if row is not None and row.tombstone is not None else None
        if not gone:
            key = ("recording", document["recording_id"])
            left.setdefault(key, _left(*key, "could not be deleted"))
        recordings.append(document | {"erased_at": time_to_text(at) if gone and at else None})
    cleared = None if tombstone is None else time_to_text(tombstone.pruned_at)
    return call | {"cleared_at": cleared, "recordings": recordings}


def _left(kind: str, subject: str, why: str) -> Document:
    return {"kind": kind, "id": subject, "why": why}


def write(directory: Path, erasure: Erasure) -> None:
    """Write an erasure down, durably.

    Raises:
        OSError: it cannot be written.
    """
    folder = directory / FOLDER
    data = json.dumps(to_document(erasure), separators=(",", ":")).encode("ascii")
    target = str(folder / f"{erasure.erasure_id}.json")
    try:
        files.replace(target, data, FILE_MODE)
    except FileNotFoundError:
        files.make_folder(str(directory), str(folder), FOLDER_MODE)
        files.replace(target, data, FILE_MODE)
    files.flush_folder(str(folder))


def read(directory: Path, erasure_id: str) -> Erasure:
    """Read an erasure.

    Raises:
        EraseError: there is none of that id, or it cannot be read.
    """
    if _ID.fullmatch(erasure_id) is None:
        raise EraseError(f"erasure {erasure_id!r}: is no id of an erasure")
    path = directory / FOLDER / f"{erasure_id}.json"
    try:
        return from_document(json.loads(path.read_bytes()))
    except FileNotFoundError:
        raise EraseError(f"erasure {erasure_id!r}: there is none in {path.parent}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EraseError(f"{path}: cannot be read: {error}; restore it from a backup") from error


def unfinished(directory: Path) -> list[Erasure]:
    """Erasures that were cut off, the oldest first."""
    found = [
        read(directory, name.removesuffix(".json"))
        for name in files.names(str(directory / FOLDER))
        if _ID.fullmatch(name.removesuffix(".json"))
    ]
    return [erasure for erasure in found if erasure.finished_at is None]


def to_document(erasure: Erasure) -> Document:
    """An erasure as JSON-able values: the certificate, when it is finished."""
    return {
        "schema": SCHEMA,
        "erasure_id": erasure.erasure_id,
        "begun_at": time_to_text(erasure.begun_at),
        "finished_at": erasure.finished_at and time_to_text(erasure.finished_at),
        "by": erasure.by,
        "reference": erasure.reference,
        "tenant": erasure.tenant,
        "calls": list(erasure.calls),
        "not_erased": list(erasure.left),
    }


def from_document(document: Document) -> Erasure:
    """Read what `to_document` made.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    if document["schema"] != SCHEMA:
        raise ValueError(f"schema {document['schema']!r} is not {SCHEMA}")
    finished = document["finished_at"]
    return Erasure(
        document["erasure_id"],
        datetime.fromisoformat(document["begun_at"]),
        document["by"],
        document["reference"],
        document["tenant"],
        tuple(document["calls"]),
        None if finished is None else datetime.fromisoformat(finished),
        tuple(document["not_erased"]),
    )


def as_text(erasure: Erasure) -> str:
    """The certificate for people."""
    document = to_document(erasure)
    lines = [
        "Certificate of erasure",
        "",
        f"Erasure:    {document['erasure_id']}",
        f"Reference:  {document['reference'] or 'none'}",
        f"Begun:      {document['begun_at']}",
        f"Finished:   {document['finished_at'] or 'not finished'}",
        f"Carried out by: {document['by']}",
        f"Tenant:     {document['tenant'] or 'all'}",
        "",
        "The audio and all personal data of these calls and recordings were erased. The number",
        "that the erasure was asked for is not kept, not even as a hash, which could be reversed.",
    ]
    for call in document["calls"]:
        lines += ["", f"Call {call['call_id']}, begun {call['started_at']}"]
        lines.append(f"  personal data cleared: {call['cleared_at'] or 'NO, see below'}")
        for one in call["recordings"]:
            lines.append(f"  Recording {one['recording_id']}, made {one['created_at']}")
            lines.append(f"    erased: {one['erased_at'] or 'NO, see below'}")
            for name in ("sha256", "encoded_sha256"):
                if one[name]:
                    lines.append(f"    {name} of the audio that was erased: {one[name]}")
    if not document["calls"]:
        lines += ["", "Nothing had the number."]
    if document["not_erased"]:
        lines += ["", "Not erased:"]
        lines += [f"  {one['kind']} {one['id']}: {one['why']}" for one in document["not_erased"]]
    return "\n".join(lines) + "\n"
