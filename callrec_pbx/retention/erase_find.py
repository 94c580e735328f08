"""Finds everything in which a number stands, for an erasure: exactly that number, in any spelling.

Only what most likely means the number is erased. What may mean it is reported, for a person to say.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from sqlalchemy import Connection, select

from callrec_pbx.catalogue import rows
from callrec_pbx.catalogue.amend import Place
from callrec_pbx.catalogue.engine import reading
from callrec_pbx.catalogue.hold_numbers import calls_with, places
from callrec_pbx.catalogue.people_models import DdiRow, ExcludedNumberRow, LineRow, PolicyVersionRow
from callrec_pbx.catalogue.rows import CALL, RECORDING, RecordingRow, calls_by_id, recordings_of
from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.holds import numbers_of, parts_of, same_number
from callrec_pbx.numbers import Numbers
from callrec_pbx.storage.serial import CallSidecar, SidecarError

LAST_DIGITS = 6
"""Digits at the end of a number by which sidecars are chosen before they are read."""


SET_ASIDE = "set-aside"
"""Folder of what a check has replaced."""


class EraseError(Exception):
    """A number cannot be erased as it was asked for; whoever asks must act as the text says."""


@dataclass(frozen=True, slots=True)
class Stays:
    """Something that has the number and is not erased, and why.

    Attributes:
        kind: `recording`, `call`, `sidecar`, `set_aside`, `hold`, `excluded_number`, `policy`.
        subject: Its id or name.
    """

    kind: str
    subject: str
    why: str


@dataclass(frozen=True, slots=True)
class Match:
    """A call in which the number stands, with all its recordings."""

    call: CallSidecar
    recordings: tuple[RecordingRow, ...]


@dataclass(slots=True)
class Found:
    """Where the number stands.

    Attributes:
        possible: Spellings that may mean the number, each with the calls that have it.
        stays: What has it, and no erasure of calls takes it away.
    """

    matches: list[Match] = field(default_factory=list)
    possible: dict[str, list[str]] = field(default_factory=dict)
    stays: list[Stays] = field(default_factory=list)


class Number:
    """A number to be erased, and what means it.

    Args:
        written: As it was given.
        tenant: Only in the calls of that tenant; empty: of all.
        of_tenants: For each tenant the countries and outside prefixes of its numbers.
    """

    def __init__(self, written: str, tenant: str, of_tenants: dict[str, "Places"]) -> None:
        self.written = written.strip()
        self.tenant = tenant
        self._of_tenants = of_tenants
        self._numbers = Numbers()
        self.meant = self._meant()
        self.fits = lru_cache(100_000)(self._fits)
        self.may_fit = lru_cache(100_000)(self._may_fit)

    def _meant(self) -> str:
        if not any(char.isdecimal() for char in self.written):
            raise EraseError(
                f"number {self.written!r}: has no digits; write it such as +46701234567"
            )
        countries, _ = self._places(self.tenant)
        found = {self._numbers.e164(self.written, one) for one in countries or ("",)}
        if len(found) > 1:
            raise EraseError(
                f"number {self.written!r}: is another one in each of {', '.join(countries)}; "
                "write it with its country code, such as +46701234567, or give --tenant"
            )
        return found.pop()

    def _places(self, tenant: str) -> "Places":
        return self._of_tenants.get(tenant) or self._of_tenants[""]

    def _fits(self, text: str, tenant: str) -> bool:
        """Whether a number of a tenant's call most likely means this one."""
        if text.strip() in (self.written, self.meant):
            return True
        countries, prefixes = self._places(tenant)
        return any(
            self.meant in self._numbers.likely(text, country, prefix)
            for country in countries or ("",)
            for prefix in ("", *prefixes)
        )

    def _may_fit(self, text: str) -> bool:
        """Whether a number may mean this one, in any country and with anything before it."""
        countries, prefixes = self._places("")
        return same_number(self.meant, text, countries, prefixes, self._numbers) or same_number(
            self.written, text, countries, prefixes, self._numbers
        )

    def stands_in(self, text: str) -> bool:
        """Whether the number stands in a text, such as a reason."""
        return any(self.may_fit(part) for part in parts_of(text))


Places = tuple[tuple[str, ...], tuple[str, ...]]


def number_of(place: Place, written: str, tenant: str = "") -> Number:
    """Read a number as the tenants' countries have it.

    Raises:
        EraseError: it is none, or means several.
    """
    with reading(place.engine).begin() as connection:
        tenants = set(connection.execute(select(CALL.c.tenant).distinct()).scalars())
        known = {one: places(connection, one) for one in tenants | {tenant, ""}}
    everywhere = known[""]
    return Number(
        written, tenant, {one: found if found[0] else everywhere for one, found in known.items()}
    )


def find(
    place: Place,
    number: Number,
    *,
    sidecars: bool = True,
    progress: Callable[[], None] = lambda: None,
) -> Found:
    """Find everything that has the number.

    Args:
        place: The catalogue and the recordings directory.
        number: The number.
        sidecars: Read the sidecars too, for what the catalogue does not know.
        progress: Called for each sidecar.
    """
    found = Found()
    seen = _take_in(place, number, found, progress) if sidecars else {}
    found.stays += _set_aside(place, number)
    with reading(place.engine).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        ids = [*seen, *calls_with(connection, number.meant, number.may_fit)]
        for chunk in rows.chunks(ids):
            for match in _calls(connection, chunk):
                _judge(number, match, found, sure=seen.get(match.call.call.call_id, False))
        found.stays += _elsewhere(connection, number)
    found.stays += [
        Stays("hold", hold.hold_id, "names the number, and is active; release it first")
        for hold in place.store.holds.active()
        if number.may_fit(hold.subject) or number.stands_in(hold.reason)
    ]
    return found


def calls_of(place: Place, call_ids: Iterable[str]) -> list[Match]:
    """Calls with all their recordings, by their ids."""
    with reading(place.engine).begin() as connection:
        return [one for chunk in rows.chunks(call_ids) for one in _calls(connection, chunk)]


def _calls(connection: Connection, ids: list[str]) -> Iterator[Match]:
    calls = calls_by_id(connection, ids)
    query = select(RECORDING).where(RECORDING.c.call_id.in_(ids))
    query = query.order_by(RECORDING.c.created_at, RECORDING.c.recording_id)
    recordings = recordings_of(connection, connection.execute(query).mappings().all())
    for call_id, call in calls.items():
        own = tuple(one for one in recordings if one.recording.call_id == call_id)
        yield Match(call, own)


def _judge(number: Number, match: Match, found: Found, *, sure: bool) -> None:
    call = match.call.call
    if number.tenant and call.tenant not in (number.tenant, ""):
        return
    texts = [*numbers_of(call)]
    for one in match.recordings:
        texts += _texts_of(one.recording)
    if sure or any(number.fits(text, call.tenant) for text in texts):
        found.matches.append(match)
        return
    for text in dict.fromkeys(texts):
        if number.may_fit(text):
            found.possible.setdefault(text, []).append(call.call_id)


def _texts_of(recording: RecordingFacts) -> list[str]:
    """What may be a number in the facts of a recording."""
    fields = (
        recording.channel,
        recording.owner,
        recording.line,
        recording.named,
        recording.deletion_why,
        *recording.tags,
    )
    return [part for text in fields for part in parts_of(text)]


def _elsewhere(connection: Connection, number: Number) -> Iterator[Stays]:
    """What is no call, and keeps the number for a reason of its own."""
    for listed in set(connection.execute(select(ExcludedNumberRow.number)).scalars()):
        if number.may_fit(listed):
            yield Stays(
                "excluded_number",
                "policy",
                "is or was on the list of numbers that are never recorded, and stays in the "
                "policy's versions",
            )
            break
    query = select(PolicyVersionRow.version, PolicyVersionRow.document)
    for version, document in connection.execute(query):
        if document is not None and any(map(number.stands_in, _strings(document))):
            yield Stays("policy", f"version {version}", "names the number")


def _strings(document: object) -> Iterator[str]:
    if isinstance(document, dict):
        for value in document.values():
            yield from _strings(value)
    elif isinstance(document, list):
        for value in document:
            yield from _strings(value)
    elif isinstance(document, str):
        yield document


def own_number(place: Place, number: Number) -> str:
    """Whose number it is, where it belongs to the installation itself; else empty."""
    with reading(place.engine).begin() as connection:
        for extension, endpoint in connection.execute(select(LineRow.extension, LineRow.endpoint)):
            if number.fits(extension, number.tenant) or number.fits(endpoint, number.tenant):
                return f"the line {extension}"
        for ddi in connection.execute(select(DdiRow.number)).scalars():
            if number.fits(ddi, number.tenant):
                return f"the DDI {ddi}"
    return ""


def _set_aside(place: Place, number: Number) -> Iterator[Stays]:
    """What a check has replaced, as it could not be read, and nothing but a person deletes."""
    pattern = _pattern(number)
    for path in sorted((place.store.directory / SET_ASIDE).rglob("*")):
        try:
            if path.is_file() and pattern.search(path.read_bytes()) is None:
                continue
            why = "was replaced by a check, and may have the number"
        except OSError as error:
            why = f"was replaced by a check, and cannot be read: {error}"
        if not path.is_dir():
            yield Stays("set_aside", str(path), f"{why}; look at it and delete it")


def _pattern(number: Number) -> re.Pattern[bytes]:
    """The last digits of a number in their order, with a little between them."""
    digits = [str(int(char)) for char in number.meant if char.isdecimal()][-LAST_DIGITS:]
    return re.compile(rb"\D{0,6}".join(digit.encode() for digit in digits))


def _take_in(
    place: Place, number: Number, found: Found, progress: Callable[[], None]
) -> dict[str, bool]:
    """Look through the sidecars, and give the catalogue what only they know.

    Returns:
        The calls of those that may have the number, and whether one of them surely has it.
    """
    pattern = _pattern(number)
    seen: dict[str, bool] = {}
    for path in place.store.sidecars():
        progress()
        try:
            if pattern.search(path.read_bytes()) is None:
                continue
            call, texts = _read(place, path)
            if any(map(number.may_fit, texts)):
                sure = any(number.fits(text, call.tenant) for text in texts)
                seen[call.call_id] = sure or seen.get(call.call_id, False)
        except FileNotFoundError:
            continue
        except (OSError, SidecarError, ValueError) as error:
            why = f"may have the number, and cannot be read: {error}; mend or remove it"
            found.stays.append(Stays("sidecar", str(path), why))
    return seen


def _read(place: Place, path: Path) -> tuple[CallFacts, list[str]]:
    """The call that a sidecar belongs to, and what may be a number in it; its row is there then."""
    if path.name.endswith(".call.json"):
        of_call = place.store.read_call_sidecar(path)
        _make_rows(place, of_call, None)
        return of_call.call, [*numbers_of(of_call.call)]
    sidecar = place.store.read_sidecar(path)
    call = replace(sidecar.call, call_id=sidecar.recording.call_id)
    _make_rows(place, CallSidecar(call), RecordingRow(sidecar.recording, sidecar.tombstone))
    return call, [*numbers_of(call), *_texts_of(sidecar.recording)]


def _make_rows(place: Place, call: CallSidecar, recording: RecordingRow | None) -> None:
    """Write the rows that are not there; those that are there are left as they are."""
    with reading(place.engine).begin() as connection:
        missing: list[rows.Item] = []
        if not calls_by_id(connection, [call.call.call_id]):
            missing.append(call)
        if recording is not None:
            mine = RECORDING.c.recording_id == recording.recording.recording_id
            if connection.execute(select(RECORDING.c.recording_id).where(mine)).first() is None:
                missing.append(recording)
    if missing:
        with place.engine.begin() as connection:
            rows.write(connection, missing)
