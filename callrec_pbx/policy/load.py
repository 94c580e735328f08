"""The policy as the listener decides by it: text, people, numbers and holidays brought together."""

from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache

import structlog
from sqlalchemy import Connection, Engine

from callrec_pbx.catalogue.engine import reading
from callrec_pbx.config import Config
from callrec_pbx.domain.people import People
from callrec_pbx.domain.policy import Policy, PolicyText
from callrec_pbx.domain.policy.settings import BUILT_IN, Filled
from callrec_pbx.numbers import Numbers
from callrec_pbx.people import versions
from callrec_pbx.people.load import load_people
from callrec_pbx.people.profiles import last_switch
from callrec_pbx.policy import naming, store

log = structlog.get_logger(__name__)

YEARS_BACK = 1
YEARS_AHEAD = 5
"""Whose public holidays are known; a listener that runs for longer has to load again."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A policy that was read at one moment.

    Attributes:
        last_switch: The newest switch of a profile that its people know.
    """

    policy: Policy
    version: int
    last_switch: int


def newest_version(connection: Connection) -> int:
    """The number of the newest version, cheap enough to ask for every second."""
    return versions.current_version(connection)


def load_policy(
    engine: Engine, defaults: Filled, today: date, like: Policy | None = None
) -> Loaded:
    """Read the newest version of everything and make it ready to decide.

    Args:
        defaults: What counts where no level says anything, see `defaults_of`.
        today: The date, for the years whose public holidays are needed.
        like: The policy before it, of which what has not changed is taken over.

    Raises:
        PolicyFileError: The version cannot be read; an older callrec-pbx may not know its words.
    """
    with reading(engine).begin() as connection:
        version, text = store.current(connection)
        people = load_people(connection)
        switch = last_switch(connection)
    if like is None or like.version != str(version):
        _warn_of_missing(version, text, people)
    return Loaded(compiled(str(version), text, people, defaults, today, like=like), version, switch)


def _warn_of_missing(version: int, text: PolicyText, people: People) -> None:
    """Tell of places whose settings count nowhere; only a hand in the database makes them so."""
    names = naming.missing(text, people)
    if names:
        log.warning(
            "policy_names_missing_places",
            version=version,
            names=names,
            remedy="run `callrec-pbx policy check`; add them, or apply a policy without them",
        )


def compiled(
    version: str,
    text: PolicyText,
    people: People,
    defaults: Filled,
    today: date,
    *,
    like: Policy | None = None,
) -> Policy:
    """A policy that is ready to decide.

    Args:
        version: What its decisions name.
    """
    return Policy(
        version,
        text,
        people=people,
        numbers=Numbers(),
        public_holidays=public_holidays(people, today.year),
        defaults=defaults,
        like=like,
    )


def defaults_of(config: Config) -> Filled:
    """What the configuration says for where neither the policy nor people and places do."""
    return replace(
        BUILT_IN,
        language=config.prompts.language,
        retention=config.retention.default,
    )


def public_holidays(people: People, year: int) -> dict[str, frozenset[date]]:
    """The public holidays of every country that a tenant or site names, for years around one."""
    codes = {tenant.holidays for tenant in people.tenants.values()}
    codes |= {site.holidays for site in people.sites.values()}
    return {code: _holidays_of(code, year) for code in codes if code}


@lru_cache(maxsize=300)
def _holidays_of(code: str, year: int) -> frozenset[date]:
    from holidays import country_holidays  # noqa: PLC0415 - takes time that few commands need

    country, _, part = code.partition("-")
    years = range(year - YEARS_BACK, year + YEARS_AHEAD + 1)
    try:
        return frozenset(country_holidays(country, subdiv=part or None, years=years))
    except NotImplementedError:
        # Checked when it was written down; another version of the library may know fewer.
        log.warning("holidays_not_known", code=code, remedy="give tenant or site another code")
        return frozenset()
