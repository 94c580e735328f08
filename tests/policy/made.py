"""Policies made up by hypothesis, in the order that a document has them."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from hypothesis import strategies as st

from callrec_pbx.domain.plans import Plan
from callrec_pbx.domain.policy.rules import Holiday, Place, PolicyText, Rule, Window
from callrec_pbx.domain.policy.settings import SUPPRESS, Settings
from callrec_pbx.domain.words import (
    AudioFormat,
    Channels,
    ConsentMode,
    Device,
    Direction,
    Mode,
    Notice,
    OnHoliday,
    OnTrouble,
)

NUMBER_SIGNS = "0123456789+*?ab"
SETTINGS = st.builds(
    Settings,
    consent=st.none() | st.sampled_from(ConsentMode),
    announcement=st.none() | st.sampled_from(["", "acme", "a_1"]),
    announce_inbound=st.none() | st.booleans(),
    announce_outbound=st.none() | st.booleans(),
    on_refusal=st.none() | st.sampled_from(OnTrouble),
    on_failure=st.none() | st.sampled_from(OnTrouble),
    whisper=st.none() | st.booleans(),
    start_stop=st.none() | st.sampled_from(Notice),
    notice=st.none() | st.sampled_from(Notice),
    reminder_s=st.none() | st.just(0) | st.integers(10, 90),
    resume_after_s=st.none() | st.integers(0, 86400),
    channels=st.none() | st.sampled_from(Channels),
    voicemail=st.none() | st.booleans(),
    retention=st.none() | st.integers(0, 100).map(lambda days: str(Plan(days))),
    format=st.none() | st.sampled_from(AudioFormat),
    keep_wav=st.none() | st.booleans(),
)
LANGUAGES = st.none() | st.sampled_from(["de", "sv", "nb"])
RULE_SETTINGS = st.builds(
    lambda settings, language: replace(settings, language=language), SETTINGS, LANGUAGES
)
NAMES = st.text("aZ9åß🙂 '\"\\[]{}#=,.-*?", min_size=1, max_size=12).map(str.strip).filter(bool)
OFFERED = st.text(NUMBER_SIGNS, min_size=1, max_size=8)
NUMBERS = st.one_of(
    OFFERED, st.sampled_from(["+46 70-123 45 67", "(08) 12/34", "*31#*", "sip:anna@example.org"])
)


def several(parts: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    """A criterion."""
    return st.lists(parts, max_size=3).map(tuple)


TIMES = st.builds(
    datetime,
    st.integers(1990, 2090),
    st.integers(1, 12),
    st.integers(1, 28),
    st.integers(0, 23),
    microsecond=st.sampled_from([0, 1]),
    tzinfo=st.just(UTC),
)
WINDOWS = st.builds(
    Window,
    days=st.sets(st.integers(0, 6), min_size=1).map(sorted).map(tuple),
    from_minute=st.just(0) | st.integers(0, 1439),
    to_minute=st.sampled_from([0, 1440]) | st.integers(0, 1440),
    holidays=st.sampled_from(OnHoliday),
)


@st.composite
def rules(draw: st.DrawFn, name: str) -> Rule:
    """A rule of that name."""
    begin = draw(st.none() | TIMES)
    end = draw(st.none() | TIMES)
    if begin and end and end <= begin:
        end = begin + timedelta(microseconds=1)
    return Rule(
        name=name,
        mode=draw(st.sampled_from(Mode)),
        settings=draw(RULE_SETTINGS | st.just(Settings(announcement=SUPPRESS))),
        enabled=draw(st.booleans()),
        tenant=draw(several(NAMES)),
        direction=draw(st.lists(st.sampled_from(Direction), max_size=3).map(tuple)),
        ddi=draw(several(OFFERED)),
        queue=draw(several(OFFERED)),
        department=draw(several(NAMES)),
        user=draw(several(NAMES.map(str.lower))),
        line=draw(several(OFFERED)),
        site=draw(several(NAMES)),
        trunk=draw(several(OFFERED)),
        profile=draw(several(NAMES)),
        device=draw(st.lists(st.sampled_from(Device), max_size=2).map(tuple)),
        number=draw(several(NUMBERS)),
        when=draw(st.lists(WINDOWS, max_size=2).map(tuple)),
        valid_from=begin,
        valid_to=end,
    )


@st.composite
def policies(draw: st.DrawFn) -> PolicyText:
    """A whole policy."""
    places = []
    for kind in ("tenant", "site", "department"):
        keys = draw(st.lists(st.tuples(NAMES, NAMES), max_size=2, unique=True))
        if kind == "tenant":
            keys = [(tenant, "") for tenant in dict.fromkeys(key[0] for key in keys)]
        places += [Place(kind, tenant, name, draw(SETTINGS)) for tenant, name in keys]
    named = draw(st.lists(NAMES, max_size=3, unique=True))
    return PolicyText(
        places=tuple(places),
        rules=tuple(draw(rules(name)) for name in named),
        holidays=draw(
            st.lists(
                st.builds(
                    Holiday,
                    day=st.dates(date(1990, 1, 1), date(2090, 1, 1)),
                    name=st.just("") | NAMES,
                    tenant=st.just("") | NAMES,
                    sites=several(NAMES),
                ),
                max_size=2,
            ).map(tuple)
        ),
        excluded_numbers=draw(st.lists(NUMBERS, max_size=4, unique=True).map(tuple)),
    )
