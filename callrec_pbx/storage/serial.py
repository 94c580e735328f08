"""Facts to JSON and back, exactly: the format of the sidecars.

The codecs are made once from the facts' own type hints, so that a new field cannot be forgotten.
Unknown keys are tolerated (a newer version wrote them); a wrong value raises `SidecarError`.
"""

import json
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import UnionType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from callrec_pbx.domain.facts import CallFacts, Explanation, RecordingFacts
from callrec_pbx.domain.holds import Hold
from callrec_pbx.domain.plans import UNLIMITED

SCHEMA = 1
"""Version of the sidecar format; it changes when an older reader would misunderstand."""

F = TypeVar("F")
_Convert = Callable[[Any], Any]


class SidecarError(ValueError):
    """A sidecar cannot be understood; the administrator restores it from a backup or removes it."""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Why personal data and audio are gone, or are going while the state is `pruning`.

    Attributes:
        pruned_by: Who or what deleted it, such as `retention`.
        why: The reason for people.
    """

    pruned_at: datetime
    pruned_by: str
    why: str


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What lies beside an audio file.

    Attributes:
        origin: What it was made from when there was none: `row` or `audio`; else empty.
    """

    recording: RecordingFacts
    call: CallFacts
    tombstone: Tombstone | None = None
    origin: str = ""


@dataclass(frozen=True, slots=True)
class CallSidecar:
    """What is kept of a call, with or without recordings.

    Attributes:
        origin: As of a recording's; also `copy`, for that in the sidecar of a recording.
    """

    call: CallFacts
    tombstone: Tombstone | None = None
    origin: str = ""


def time_to_text(value: datetime) -> str:
    """Write an aware time in UTC, with microseconds, so that texts sort as times do."""
    if value.tzinfo is not UTC:
        if value.tzinfo is None:
            raise ValueError(f"time {value!r}: has no time zone; use aware UTC datetimes")
        value = value.astimezone(UTC)
    return value.isoformat(timespec="microseconds")[:-6] + "Z"


def _kind(value: object) -> str:
    """What an error says in place of a value: it is logged, and callers' numbers must not be."""
    return type(value).__name__


def _time_from_text(value: object) -> datetime:
    if not isinstance(value, str):
        raise SidecarError(f"{_kind(value)} is not a time")
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        raise SidecarError(f"{_kind(value)} is not a time in ISO 8601") from None
    if parsed.tzinfo is None:
        raise SidecarError(f"{_kind(value)} has no time zone")
    return parsed.astimezone(UTC)


def _same(value: Any) -> Any:
    return value


def _plain(kind: type) -> _Convert:
    def decode(value: object) -> object:
        # bool is an int to Python, not to a reader of the file.
        if type(value) is not kind:
            raise SidecarError(f"{_kind(value)} is not of type {kind.__name__}")
        return value

    return decode


def _enum(kind: type[StrEnum]) -> _Convert:
    known = {member.value: member for member in kind}

    def decode(value: object) -> StrEnum:
        if not isinstance(value, str) or value not in known:
            raise SidecarError(f"{_kind(value)} is not one of {', '.join(known)}")
        return known[value]

    return decode


def _optional(inner: tuple[_Convert, _Convert]) -> tuple[_Convert, _Convert]:
    encode, decode = inner
    if encode is _same:
        return _same, lambda value: None if value is None else decode(value)
    return (
        lambda value: None if value is None else encode(value),
        lambda value: None if value is None else decode(value),
    )


def _many(inner: tuple[_Convert, _Convert]) -> tuple[_Convert, _Convert]:
    encode, decode = inner

    def decode_all(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise SidecarError(f"{_kind(value)} is not a list")
        items = []
        for position, item in enumerate(value):
            try:
                items.append(decode(item))
            except SidecarError as error:
                raise SidecarError(f"[{position}]{_joint(error)}{error}") from None
        return tuple(items)

    return (list if encode is _same else lambda value: [encode(item) for item in value]), decode_all


def _joint(error: SidecarError) -> str:
    """What goes between a field and the complaint about a part of it."""
    text = str(error)
    return "" if text.startswith("[") else "." if text.startswith("field ") else ": "


def _converters(hint: Any) -> tuple[_Convert, _Convert]:
    """How a value of that type is written, and how it is read."""
    if get_origin(hint) is UnionType:
        (inner,) = (part for part in get_args(hint) if part is not type(None))
        return _optional(_converters(inner))
    if get_origin(hint) is tuple:
        return _many(_converters(get_args(hint)[0]))
    if hint is datetime:
        return time_to_text, _time_from_text
    if is_dataclass(hint):
        codec = _Codec(cast(type, hint))
        return codec.encode, codec.decode
    if issubclass(hint, StrEnum):
        return str, _enum(hint)
    return _same, _plain(hint)


class _Codec:
    """Writes and reads one kind of facts."""

    def __init__(self, kind: type) -> None:
        self._kind = kind
        self._encoders: list[tuple[str, _Convert | None]] = []
        self._decoders: list[tuple[str, _Convert, bool]] = []
        hints = get_type_hints(kind)
        for field in fields(kind):
            encode, decode = _converters(hints[field.name])
            required = field.default is MISSING and field.default_factory is MISSING
            self._encoders.append((field.name, None if encode is _same else encode))
            self._decoders.append((field.name, decode, required))

    def encode(self, facts: object) -> dict[str, Any]:
        return {
            name: getattr(facts, name) if encode is None else encode(getattr(facts, name))
            for name, encode in self._encoders
        }

    def decode(self, data: object) -> Any:
        if not isinstance(data, dict):
            raise SidecarError(f"{_kind(data)} is not an object")
        values: dict[str, Any] = {}
        for name, decode, required in self._decoders:
            if name not in data:
                if required:
                    raise SidecarError(f"field {name!r} is missing")
                continue
            try:
                values[name] = decode(data[name])
            except SidecarError as error:
                raise SidecarError(f"field {name!r}{_joint(error)}{error}") from None
        return self._kind(**values)


_RECORDING = _Codec(RecordingFacts)
_CALL = _Codec(CallFacts)
_TOMBSTONE = _Codec(Tombstone)
_EXPLANATION = _Codec(Explanation)
_HOLD = _Codec(Hold)


def recording_to_dict(recording: RecordingFacts) -> dict[str, Any]:
    """The recording as JSON-able values, keys as the facts name them."""
    return _RECORDING.encode(recording)


def _as_now(data: object) -> object:
    """A recording as an earlier version wrote it, with the plan that its days were."""
    if not isinstance(data, dict) or "retention" in data:
        return data
    days = data.get("retention_days")
    return data | {"retention": f"{days} days" if type(days) is int else UNLIMITED}


def call_to_dict(call: CallFacts) -> dict[str, Any]:
    """The call with legs and consents as JSON-able values, keys as the facts name them."""
    return _CALL.encode(call)


def explanation_to_dict(explanation: Explanation) -> dict[str, Any]:
    """The explanation as JSON-able values, keys as the facts name them."""
    return _EXPLANATION.encode(explanation)


def explanation_from_dict(data: object) -> Explanation:
    """Read what `explanation_to_dict` wrote.

    Raises:
        SidecarError: a field is missing or wrong; the text names it.
    """
    return cast(Explanation, _EXPLANATION.decode(data))


def tombstone_to_dict(tombstone: Tombstone | None) -> dict[str, Any] | None:
    """The tombstone as JSON-able values, None for none."""
    return None if tombstone is None else _TOMBSTONE.encode(tombstone)


def dump(sidecar: Sidecar | CallSidecar) -> bytes:
    """The bytes of a sidecar: JSON in ASCII, so that no caller's name can break a reader."""
    document: dict[str, Any] = {"schema": SCHEMA}
    if isinstance(sidecar, Sidecar):
        document["recording"] = _RECORDING.encode(sidecar.recording)
    document["call"] = _CALL.encode(sidecar.call)
    document["tombstone"] = tombstone_to_dict(sidecar.tombstone)
    if sidecar.origin:
        document["origin"] = sidecar.origin
    return json.dumps(document, separators=(",", ":")).encode("ascii")


def load(data: bytes) -> Sidecar:
    """Read a recording's sidecar.

    Raises:
        SidecarError: it is not one.
    """
    document = _document(data)
    if "recording" in document:
        document["recording"] = _as_now(document["recording"])
    recording = cast(RecordingFacts, _part(document, "recording", _RECORDING))
    call = _part(document, "call", _CALL)
    return Sidecar(recording, call, _tombstone(document), _origin(document))


def load_call(data: bytes) -> CallSidecar:
    """Read a call's sidecar.

    Raises:
        SidecarError: it is not one.
    """
    document = _document(data)
    call = _part(document, "call", _CALL)
    return CallSidecar(call, _tombstone(document), _origin(document))


def hold_to_dict(hold: Hold) -> dict[str, Any]:
    """A legal hold as JSON-able values, keys as its fields."""
    return _HOLD.encode(hold)


def dump_hold(hold: Hold) -> bytes:
    """The bytes of a legal hold's file."""
    document = {"schema": SCHEMA, "hold": _HOLD.encode(hold)}
    return json.dumps(document, separators=(",", ":")).encode("ascii")


def load_hold(data: bytes) -> Hold:
    """Read a legal hold.

    Raises:
        SidecarError: it is not one.
    """
    return cast(Hold, _part(_document(data), "hold", _HOLD))


def _document(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SidecarError(f"not JSON: {error}") from None
    if not isinstance(document, dict):
        raise SidecarError("not a JSON object")
    schema = document.get("schema")
    if schema != SCHEMA or isinstance(schema, bool):
        raise SidecarError(
            f"field 'schema': {schema!r} is not {SCHEMA}; a newer callrec-pbx may have written it"
        )
    return document


def _part(document: dict[str, Any], name: str, codec: _Codec) -> Any:
    if name not in document:
        raise SidecarError(f"field {name!r} is missing")
    try:
        return codec.decode(document[name])
    except SidecarError as error:
        raise SidecarError(f"{name}: {error}") from None


def _tombstone(document: dict[str, Any]) -> Tombstone | None:
    if document.get("tombstone") is None:
        return None
    return cast(Tombstone, _part(document, "tombstone", _TOMBSTONE))


def _origin(document: dict[str, Any]) -> str:
    return str(document.get("origin") or "")
