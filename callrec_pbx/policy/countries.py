"""What the parties of a recorded call may expect, by country: data, and no legal advice."""

import re
import tomllib
from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from callrec_pbx.domain.policy.asking import STRICTNESS
from callrec_pbx.domain.words import ConsentMode

DATA = "countries.toml"

CODE = re.compile(r"[A-Z]{2}(-[A-Z]{2})?")

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Link = Annotated[str, StringConstraints(pattern=r"^https?://[^\s<>\"]+$")]


class CountriesError(ValueError):
    """The table of countries is broken; whoever edited it, or installed it, must mend it."""


class Expected(StrEnum):
    """What is expected of who records a call, the least first."""

    ONE_PARTY = "one_party"
    ANNOUNCEMENT = "announcement"
    ALL_PARTY = "all_party"
    WRITTEN = "written"


class Confidence(StrEnum):
    """How sure an entry is."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Strict):
    """A law or a decision by name, with a link where one is known to lead to it."""

    name: Text
    link: Link | None = None


class Expectation(_Strict):
    """What is expected in a country, or in a state of it (`US-CA`).

    Attributes:
        weakest: The mode of consent that is the least of what is expected.
        opt_out_is_consent: Whether the authority takes opt-out for consent; None: not known.
        disputed: Whether courts, statutes or commentators disagree.
        gdpr: Whether the General Data Protection Regulation applies.
        as_of: The state of the law that the entry describes.
        known: False of a country that the table does not have.
    """

    code: Annotated[str, StringConstraints(pattern=f"^{CODE.pattern}$")]
    name: Text
    expectation: Expected
    weakest: ConsentMode
    opt_out_is_consent: bool | None = None
    confidence: Confidence
    disputed: bool = False
    gdpr: bool = False
    note: Text
    sources: tuple[Source, ...] = ()
    as_of: date
    known: bool = True


class _Table(_Strict):
    as_of: date
    disclaimer: Text
    gdpr_sources: tuple[Source, ...]
    country: tuple[dict[str, Any], ...]


class Countries:
    """The table, by code."""

    def __init__(self, disclaimer: str, as_of: date, entries: Mapping[str, Expectation]) -> None:
        self.disclaimer = disclaimer
        self.as_of = as_of
        self.entries = entries

    def expectation(self, country: str) -> Expectation:
        """What is expected in a country; of a state that has no entry, what its country says.

        Args:
            country: An ISO 3166 code such as `SE`, or with the state such as `US-CA`.
        """
        code = country.upper()
        found = self.entries.get(code) or self.entries.get(code[:2])
        return found or self._unknown(code)

    def states_of(self, country: str) -> tuple[Expectation, ...]:
        """The states of a country that expect more than the country as a whole."""
        whole = self.expectation(country)
        return tuple(
            entry
            for code, entry in self.entries.items()
            if code.startswith(f"{whole.code}-") and stricter(whole, entry) is entry
        )

    def _unknown(self, code: str) -> Expectation:
        return Expectation(
            code=code if CODE.fullmatch(code) else "ZZ",
            name=code if CODE.fullmatch(code) else "unknown",
            expectation=Expected.ANNOUNCEMENT,
            weakest=ConsentMode.ANNOUNCE,
            confidence=Confidence.LOW,
            note="The table has no entry for this country; that everybody is told is assumed.",
            as_of=self.as_of,
            known=False,
        )


def load(text: str) -> Countries:
    """Read a table.

    Raises:
        CountriesError: It is not one; the message names entry, field and what is wrong.
    """
    try:
        table = _Table.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise CountriesError(f"{DATA}: is not TOML ({error}); mend the file") from error
    except ValidationError as error:
        raise CountriesError(f"{DATA}: {_first(error)}") from error
    entries: dict[str, Expectation] = {}
    for number, written in enumerate(table.country, 1):
        entry = _entry(number, written, table)
        if entry.code in entries:
            raise CountriesError(f"{DATA}: {entry.code} is there twice; keep one entry")
        entries[entry.code] = entry
    for code in entries:
        if code[:2] not in entries:
            raise CountriesError(f"{DATA}: {code} has no entry of its country; add {code[:2]}")
    return Countries(table.disclaimer, table.as_of, dict(sorted(entries.items())))


def _entry(number: int, written: dict[str, Any], table: _Table) -> Expectation:
    called = f"country {number} ({written.get('code', 'no code')})"
    if "known" in written:
        raise CountriesError(f"{DATA}: {called}: known: is not a field; leave it out")
    try:
        entry = Expectation.model_validate({"as_of": table.as_of} | written)
    except ValidationError as error:
        raise CountriesError(f"{DATA}: {called}: {_first(error)}") from error
    if entry.gdpr:
        entry = entry.model_copy(update={"sources": (*entry.sources, *table.gdpr_sources)})
    if not entry.sources:
        raise CountriesError(f"{DATA}: {called}: sources: there are none; name at least one")
    if entry.weakest is ConsentMode.OPT_IN and entry.opt_out_is_consent:
        raise CountriesError(
            f"{DATA}: {called}: opt_out_is_consent: contradicts weakest = opt_in; change one"
        )
    return entry


def _first(error: ValidationError) -> str:
    found = error.errors()[0]
    where = ".".join(str(part) for part in found["loc"])
    return f"{where}: {found['msg']}; mend the entry"


@cache
def countries() -> Countries:
    """The table that comes with the software."""
    return load((files("callrec_pbx.policy") / DATA).read_text(encoding="utf-8"))


def expectation(country: str) -> Expectation:
    """What is expected in a country; see `Countries.expectation`."""
    return countries().expectation(country)


def stricter(one: Expectation, other: Expectation) -> Expectation:
    """Of two expectations the one that asks for more; the first where they ask for the same."""
    return other if _rank(other) > _rank(one) else one


def _rank(entry: Expectation) -> tuple[int, int, bool]:
    by_mode = STRICTNESS.index(entry.weakest)
    return by_mode, list(Expected).index(entry.expectation), entry.opt_out_is_consent is False


def falls_short(consent: ConsentMode, entry: Expectation) -> bool:
    """Whether a mode of consent is less than what is expected."""
    return STRICTNESS.index(consent) < STRICTNESS.index(entry.weakest)
