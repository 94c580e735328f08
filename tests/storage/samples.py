"""Facts for tests: one of everything, and hypothesis strategies for anything."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from callrec_pbx.domain.facts import (
    CallFacts,
    ConsentFacts,
    Explanation,
    Inherited,
    LegFacts,
    PauseFacts,
    RecordingFacts,
    Step,
)
from callrec_pbx.domain.words import (
    Consent,
    ConsentMode,
    Direction,
    LegKind,
    Mode,
    Outcome,
    RecordingState,
    Tried,
)

START = datetime(2026, 3, 1, 9, 0, 0, 123456, UTC)

WHY = Explanation(
    steps=(
        Step("tenant", Tried.PASSED),
        Step("rule", Tried.NO_MATCH, "private: user boss@example.com"),
        Step("rule", Tried.MATCHED, "sales"),
    ),
    settings=(Inherited("consent", "opt_out", "rule sales"), Inherited("whisper", "true", "site")),
)

_IDS = st.text("0123456789abcdefghijklmnopqrstuvwxyz", min_size=20, max_size=32)
_TIMES = st.datetimes(
    datetime(1999, 1, 1),  # noqa: DTZ001
    datetime(2999, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45))]),
)
_IDENTITIES = {"recording_id", "call_id"}
_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(st.characters(codec="utf-8"), max_size=12),
    int: st.integers(0, 2**62),
    bool: st.booleans(),
    datetime: _TIMES,
}


def anything(kind: type) -> st.SearchStrategy[Any]:
    """Any facts of that kind, by its type hints."""
    hints = get_type_hints(kind)
    parts = {field.name: _of(hints[field.name]) for field in fields(kind)}
    return st.builds(kind, **parts | {name: _IDS for name in parts if name in _IDENTITIES})


def _of(hint: Any) -> st.SearchStrategy[Any]:
    if get_origin(hint) is UnionType:
        (inner,) = (part for part in get_args(hint) if part is not type(None))
        return st.none() | _of(inner)
    if get_origin(hint) is tuple:
        return st.lists(_of(get_args(hint)[0]), max_size=3).map(tuple)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if issubclass(hint, str):
        return st.sampled_from(hint)
    return anything(hint)


def an_id(number: int, kind: str = "r") -> str:
    """A well-formed id that is told from the others by its number."""
    return f"{kind}{number:025d}"


def a_call(number: int = 1, at: datetime = START, **changes: Any) -> CallFacts:
    """An inbound call of 60 s that was announced, answered and recorded."""
    values: dict[str, Any] = {
        "call_id": an_id(number, "c"),
        "pbx_ids": (f"{number}.1",),
        "started_at": at,
        "direction": Direction.INBOUND,
        "a_number": "+4930123456",
        "a_name": "Ærø & Søn",
        "b_number": "201",
        "c_number": "201",
        "ddi": "+49301000",
        "queue": "sales",
        "answered_at": at + timedelta(seconds=5),
        "ended_at": at + timedelta(seconds=65),
        "outcome": Outcome.RECORDED,
        "reason": "rule",
        "rule": "sales",
        "policy_version": "p1",
        "tenant": "default",
        "explanation": WHY,
        "legs": (
            LegFacts(
                f"{number}.1",
                f"PJSIP/trunk-{number:08x}",
                LegKind.OUTSIDE,
                "",
                "+4930123456",
                "Ærø & Søn",
                at,
                bridged_at=at + timedelta(seconds=5),
                ended_at=at + timedelta(seconds=65),
            ),
            LegFacts(
                f"{number}.2",
                f"PJSIP/201-{number:08x}",
                LegKind.LINE,
                "201",
                "201",
                "Agent Smith",
                at + timedelta(seconds=1),
                whispered_at=at + timedelta(seconds=4),
            ),
        ),
        "consents": (
            ConsentFacts(
                f"{number}.1",
                "+4930123456",
                ConsentMode.OPT_OUT,
                Consent.ANNOUNCED,
                prompt="announce_opt_out",
                prompt_sha256="ab" * 32,
                prompt_version="1",
                language="de",
                played_from=at,
                played_to=at + timedelta(seconds=4),
                played_ms=4000,
                prompt_ms=4000,
            ),
        ),
        "transfers": ("blind 202",),
    }
    return CallFacts(**(values | changes))


def a_recording(
    number: int = 1, call: CallFacts | None = None, at: datetime = START, **changes: Any
) -> RecordingFacts:
    """A stored recording of that call, with a pause, kept for 30 days."""
    values: dict[str, Any] = {
        "recording_id": an_id(number),
        "call_id": (call or a_call(number)).call_id,
        "leg": f"{number}.2",
        "channel": f"PJSIP/201-{number:08x}",
        "owner": "201",
        "state": RecordingState.STORED,
        "created_at": at + timedelta(seconds=5),
        "started_at": at + timedelta(seconds=5),
        "ended_at": at + timedelta(seconds=65),
        "rule": "sales",
        "policy_version": "p1",
        "mode": Mode.ALWAYS_PAUSABLE,
        "consent": ConsentMode.OPT_OUT,
        "line": "201",
        "tenant": "default",
        "site": "Berlin",
        "department": "Sales",
        "explanation": WHY,
        "retention": "30 days",
        "delete_after": at + timedelta(days=30, seconds=65),
        "pauses": (PauseFacts(10_000, 14_000),),
        "audio_ms": 56_000,
        "size": 896_044,
        "sha256": "cd" * 32,
    }
    return RecordingFacts(**(values | changes))


def without_audio(
    number: int = 1, call: CallFacts | None = None, at: datetime = START, **changes: Any
) -> RecordingFacts:
    """A recording of that call of which nothing was ever written."""
    nothing: dict[str, Any] = {"pauses": (), "audio_ms": None, "size": None, "sha256": ""}
    return a_recording(number, call, at, **(nothing | changes))
