"""Keeps what recordings are searched by as calls and recordings say, whichever is written first.

A recording has columns that belong to its call, so that one index finds and sorts it. They follow
in the transaction that writes the call, and only where something has changed.
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from sqlalchemy import Connection, RowMapping, Table, bindparam, delete, select, update

from callrec_pbx.catalogue.models import SEARCHED, Call, ConsentRow, Leg, Recording
from callrec_pbx.catalogue.search_models import RecordingTag
from callrec_pbx.catalogue.search_numbers import CHUNK, NumberChanges, insert_new
from callrec_pbx.catalogue.search_terms import consent_outcome, length_band, numbers_of
from callrec_pbx.domain.facts import CallFacts, RecordingFacts

CALL = cast(Table, Call.__table__)
LEG = cast(Table, Leg.__table__)
CONSENT = cast(Table, ConsentRow.__table__)
RECORDING = cast(Table, Recording.__table__)
TAG = cast(Table, RecordingTag.__table__)

OF_CALL = ("direction", "ddi", "queue", "consent_outcome", "numbers")
"""Columns of a recording that belong to its call."""

LONGEST = 200
"""Characters of a word that is searched: PostgreSQL has no room for any length in an index."""

INDEXED = ("call_id", "created_at", "tenant", "delete_after", "to_do", "deletion_at",
           *(name for name in SEARCHED if name not in OF_CALL))  # fmt: skip
"""Columns of a recording's own that indexes have."""

_KNOWN = select(
    RECORDING.c.recording_id,
    RECORDING.c.tags,
    *(RECORDING.c[name] for name in (*INDEXED, *OF_CALL)),
)

Values = Mapping[str, Any]


class Upkeep:
    """What has to be changed beside the rows of some calls and recordings."""

    def __init__(
        self,
        connection: Connection,
        calls: Mapping[str, CallFacts],
        recordings: Mapping[str, RecordingFacts],
    ) -> None:
        """Look at what is there; after the rows of the calls, before those of the recordings.

        Args:
            connection: In the transaction that writes.
            calls: Those that have been written.
            recordings: Those that will be.
        """
        self._connection = connection
        self._recordings = recordings
        self._known = _known(connection, calls, recordings)
        of_calls: dict[str, Values] = {one: of_call(call) for one, call in calls.items()}
        strangers = {
            facts.call_id
            for facts in recordings.values()
            if facts.call_id not in calls and not self._has_its_call(facts)
        }
        of_calls |= _of_rows(connection, strangers)
        self._wanted = {
            one: of_calls.get(facts.call_id) or self._known[one]
            for one, facts in recordings.items()
        }
        for one, row in self._known.items():
            if one not in recordings:
                self._wanted[one] = of_calls[row["call_id"]]

    def columns(self, recording: RecordingFacts) -> dict[str, Any]:
        """What the row of a recording has beside its facts."""
        wanted = self._wanted[recording.recording_id]
        return {name: wanted[name] for name in OF_CALL} | {
            "length_band": length_band(recording.audio_ms)
        }

    def unchanged(self, row: Mapping[str, Any]) -> frozenset[str]:
        """Columns that need not be written, as the row of a recording has those values.

        SQLite writes an index anew wherever its columns are set, to whatever value. PostgreSQL
        compares, and has other writers: it gets the whole row.
        """
        known = self._known.get(row["recording_id"])
        if known is None or self._connection.dialect.name != "sqlite":
            return frozenset()
        return frozenset(name for name in INDEXED if known[name] == row[name])

    def write(self) -> None:
        """Bring up to date what differs; after the rows of the recordings."""
        changed: list[dict[str, Any]] = []
        numbers = NumberChanges()
        tags: list[dict[str, Any]] = []
        tags_gone: list[dict[str, Any]] = []
        for one, wanted in sorted(self._wanted.items()):
            row, facts = self._known.get(one), self._recordings.get(one)
            if row is not None and any(row[name] != wanted[name] for name in OF_CALL):
                changed.append({"of": one} | {f"new_{name}": wanted[name] for name in OF_CALL})
            before = None if row is None else (row["created_at"], one)
            had = "" if row is None else row["numbers"]
            place = before if facts is None else (facts.created_at, one)
            if place is not None:
                numbers.note(place, wanted["numbers"], before, had)
            if facts is not None:
                now, then = _tags_of(facts), [] if row is None else _tags_in(row)
                tags += [tag for tag in now if tag not in then]
                tags_gone += [tag for tag in then if tag not in now]
        if changed:
            self._connection.execute(_UPDATE, changed)
        numbers.write(self._connection)
        if tags_gone:
            gone = [{f"of_{name}": value for name, value in tag.items()} for tag in tags_gone]
            self._connection.execute(_DELETE_TAG, gone)
        if tags:
            self._connection.execute(insert_new(TAG, self._connection), tags)

    def _has_its_call(self, facts: RecordingFacts) -> bool:
        row = self._known.get(facts.recording_id)
        return row is not None and row["call_id"] == facts.call_id


_UPDATE = (
    update(RECORDING)
    .where(RECORDING.c.recording_id == bindparam("of"))
    .values({name: bindparam(f"new_{name}") for name in OF_CALL})
)
_DELETE_TAG = delete(TAG).where(*(key == bindparam(f"of_{key.name}") for key in TAG.primary_key))


def of_call(call: CallFacts) -> dict[str, str]:
    """What the recordings of a call have of it."""
    numbers = (call.a_number, call.b_number, call.c_number, call.ddi)
    return {
        "direction": str(call.direction or ""),
        "ddi": call.ddi[:LONGEST],
        "queue": call.queue[:LONGEST],
        "consent_outcome": consent_outcome(consent.outcome for consent in call.consents),
        "numbers": numbers_of((*numbers, *(leg.number for leg in call.legs))),
    }


def _known(
    connection: Connection, calls: Iterable[str], recordings: Iterable[str]
) -> dict[str, RowMapping]:
    found: dict[str, RowMapping] = {}
    for chunk in _chunks(calls):
        query = _KNOWN.where(RECORDING.c.call_id.in_(chunk))
        found |= {row["recording_id"]: row for row in connection.execute(query).mappings()}
    for chunk in _chunks(one for one in recordings if one not in found):
        query = _KNOWN.where(RECORDING.c.recording_id.in_(chunk))
        found |= {row["recording_id"]: row for row in connection.execute(query).mappings()}
    return found


def _of_rows(connection: Connection, calls: Iterable[str]) -> dict[str, dict[str, str]]:
    """The same as `of_call`, by the rows of calls."""
    found: dict[str, dict[str, str]] = {}
    for chunk in _chunks(calls):
        # Locked, so that nobody changes the call before our recording is there to follow.
        rows = select(CALL).where(CALL.c.call_id.in_(chunk)).order_by(CALL.c.call_id)
        calls_found = connection.execute(rows.with_for_update(read=True)).mappings().all()
        numbers: dict[str, list[str]] = {}
        for row in connection.execute(
            select(LEG.c.call_id, LEG.c.number).where(LEG.c.call_id.in_(chunk))
        ):
            numbers.setdefault(row.call_id, []).append(row.number)
        outcomes: dict[str, list[Any]] = {}
        for row in connection.execute(
            select(CONSENT.c.call_id, CONSENT.c.outcome).where(CONSENT.c.call_id.in_(chunk))
        ):
            outcomes.setdefault(row.call_id, []).append(row.outcome)
        for call in calls_found:
            one = call["call_id"]
            own = (call["a_number"], call["b_number"], call["c_number"], call["ddi"])
            found[one] = {
                "direction": str(call["direction"] or ""),
                "ddi": call["ddi"][:LONGEST],
                "queue": call["queue"][:LONGEST],
                "consent_outcome": consent_outcome(outcomes.get(one, ())),
                "numbers": numbers_of((*own, *numbers.get(one, ()))),
            }
    return found


def _tags_of(facts: RecordingFacts) -> list[dict[str, Any]]:
    return _tag_rows(facts.tenant, facts.tags, facts.created_at, facts.recording_id)


def _tags_in(row: RowMapping) -> list[dict[str, Any]]:
    return _tag_rows(row["tenant"], row["tags"], row["created_at"], row["recording_id"])


def _tag_rows(tenant: str, tags: Iterable[str], *place: Any) -> list[dict[str, Any]]:
    created_at, recording_id = place
    return [
        {"tenant": tenant, "tag": tag, "created_at": created_at, "recording_id": recording_id}
        for tag in dict.fromkeys(tag[:LONGEST] for tag in tags)
    ]


def _chunks(ids: Iterable[str]) -> Iterable[list[str]]:
    listed = sorted(set(ids))
    return (listed[at : at + CHUNK] for at in range(0, len(listed), CHUNK))
