"""What does not agree about one recording or call. Pure: what was seen in, findings out."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.words import FollowUp, RecordingState
from callrec_pbx.reconcile.finding import Kind
from callrec_pbx.storage.serial import Tombstone

WAV = "wav"
PEAKS = "peaks.json"
SIDES = ("left.wav", "right.wav")
TEMPORARY = ".tmp"

STALE = timedelta(days=1)
"""Without a change for so long, nobody works on an item, marked or not."""
JUST_NOW = timedelta(minutes=10)
"""Changed within that, somebody may, marked or not."""
CALL_OVER = timedelta(hours=1)
"""So long after its call has ended a recording is finished, or will not be by itself."""

GONE = frozenset({RecordingState.DISCARDED, RecordingState.PRUNED})
"""States in which there is to be no audio."""
_KEPT = frozenset({RecordingState.STORED, RecordingState.INTERRUPTED})
_OVER = _KEPT | GONE | {RecordingState.FAILED, RecordingState.PRUNING}
_HEADER = 44
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

Found = tuple[Kind, str]
"""A kind, and the detail for people."""


@dataclass(frozen=True, slots=True)
class FileSeen:
    """A file of a recording."""

    size: int
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class RecordingSeen:
    """What there is of a recording.

    Attributes:
        facts: As its sidecar has it.
        row: Facts and tombstone as its row has them; None: it has none.
        files: Its files by the end of their names, such as `left.wav`.
        name_missing: It has a name on the disk, and lies not there.
        marked: Whether it is marked as one with work to be done.
        row_on_its_way: Whether somebody has said that the row is about to be written.
        call_known: Whether its call has a sidecar.
        call_ended_at: When its call ended, where that is known.
        set_aside: Why its follow-up work was set aside, where it was.
        held: Whether a legal hold keeps what there is.
    """

    facts: RecordingFacts
    tombstone: Tombstone | None
    row: tuple[RecordingFacts, Tombstone | None] | None
    files: Mapping[str, FileSeen]
    changed_at: datetime
    name_missing: bool = False
    marked: bool = False
    row_on_its_way: bool = False
    call_known: bool = True
    call_ended_at: datetime | None = None
    set_aside: str = ""
    held: bool = False


@dataclass(frozen=True, slots=True)
class CallSeen:
    """What there is of a call, as of a recording."""

    facts: CallFacts
    tombstone: Tombstone | None
    row: tuple[CallFacts, Tombstone | None] | None
    changed_at: datetime
    marked: bool = False
    row_on_its_way: bool = False


def is_over(facts: RecordingFacts) -> bool:
    """Whether the listener has nothing more to do with it."""
    if facts.state is RecordingState.INTERRUPTED:
        return facts.audio_ms is not None
    return facts.state in _OVER


def of_recording(seen: RecordingSeen, now: datetime) -> list[Found]:
    """What does not agree about a recording; nothing while somebody works on it."""
    if _in_progress(seen, now):
        return []
    found = _row(seen.facts, seen.tombstone, seen.row)
    if not seen.call_known:
        found.append((Kind.CALL_UNKNOWN, "its call has no sidecar"))
    if not is_over(seen.facts):
        found.append((Kind.NEVER_FINISHED, f"it is {seen.facts.state}, and nobody works on it"))
    elif seen.facts.state in GONE:
        left = sorted(seen.files)
        if left and not seen.held:
            found.append((Kind.AUDIO_LEFT, f"it is {seen.facts.state}, and has {', '.join(left)}"))
    elif seen.facts.state is not RecordingState.PRUNING:
        found += _files(seen, now)
    return found


def of_call(seen: CallSeen, now: datetime) -> list[Found]:
    """What does not agree about a call; nothing while it goes on."""
    age = now - seen.changed_at
    if seen.facts.ended_at is None and age < (STALE if seen.marked else JUST_NOW):
        return []
    found = _row(seen.facts, seen.tombstone, seen.row)
    if seen.facts.ended_at is None:
        found.append((Kind.NEVER_FINISHED, "it has no end, and nobody works on it"))
    return found


def _in_progress(seen: RecordingSeen, now: datetime) -> bool:
    age = now - seen.changed_at
    if not seen.marked:
        return not is_over(seen.facts) and age < JUST_NOW
    ended = seen.call_ended_at
    if seen.facts.state in GONE or (ended is not None and now - ended > CALL_OVER):
        return age < CALL_OVER
    return age < STALE


def _row(
    facts: RecordingFacts | CallFacts,
    tombstone: Tombstone | None,
    row: tuple[RecordingFacts | CallFacts, Tombstone | None] | None,
) -> list[Found]:
    if row is None:
        return [(Kind.ROW_MISSING, "")]
    if row == (facts, tombstone):
        return []
    names = _differing(facts, row[0]) + ([] if row[1] == tombstone else ["tombstone"])
    return [(Kind.ROW_DIFFERS, ", ".join(names))] if names else []


def _differing(one: object, other: object) -> list[str]:
    """The names of the fields that differ."""
    return [
        field.name
        for field in fields(one)  # type: ignore[arg-type]
        if _clean(getattr(one, field.name)) != _clean(getattr(other, field.name))
    ]


def _clean(value: Any) -> Any:
    """Text as every database takes it: PostgreSQL has no NUL and no half of a surrogate pair."""
    if isinstance(value, str):
        text = value.replace("\0", _REPLACEMENT)
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, tuple):
        return tuple(_clean(one) for one in value)
    if hasattr(value, "__dataclass_fields__"):
        return tuple(_clean(getattr(value, field.name)) for field in fields(value))
    return value


def _files(seen: RecordingSeen, now: datetime) -> list[Found]:
    """What does not agree about the audio of a recording that is over and kept."""
    facts = seen.facts
    whole = {name: file for name, file in seen.files.items() if not name.endswith(TEMPORARY)}
    found: list[Found] = []
    if facts.size is None and not facts.encoded:
        audio = whole.get(WAV)
        if facts.state in _KEPT or (audio is not None and audio.size > _HEADER):
            found.append((Kind.NEVER_FINISHED, "its audio was never measured"))
    else:
        found += _audio(facts, whole)
    if any(side in whole for side in SIDES):
        found.append((Kind.CHANNELS_LEFT, "its channels were never joined"))
    if facts.state in _KEPT:
        found += _follow_up(seen, whole)
    old = [
        name
        for name, file in sorted(seen.files.items())
        if name.endswith(TEMPORARY) and now - file.changed_at > STALE
    ]
    if old:
        found.append((Kind.TEMPORARY_FILE, ", ".join(old)))
    return found


def _audio(facts: RecordingFacts, whole: Mapping[str, FileSeen]) -> list[Found]:
    found: list[Found] = []
    if facts.has_wav:
        found += _one(WAV, facts.size, whole.get(WAV), Kind.AUDIO_MISSING)
    if facts.encoded:
        missing = Kind.ENCODED_MISSING if WAV in whole else Kind.AUDIO_MISSING
        found += _one(facts.format, facts.encoded_size, whole.get(facts.format), missing)
    elif not facts.has_wav:
        found.append((Kind.AUDIO_MISSING, "it has neither a WAV file nor an encoded one"))
    return found


def _one(name: str, size: int | None, file: FileSeen | None, missing: Kind) -> list[Found]:
    if file is None:
        return [(missing, f"the {name} file is not there")]
    if file.size != size:
        return [(Kind.SIZE_DIFFERS, f"the {name} file has {file.size} bytes, and had {size}")]
    return []


def _follow_up(seen: RecordingSeen, whole: Mapping[str, FileSeen]) -> list[Found]:
    facts = seen.facts
    if seen.set_aside:
        return [(Kind.FOLLOW_UP_SET_ASIDE, seen.set_aside)]
    found: list[Found] = []
    heard = WAV in whole or (facts.encoded and str(facts.format) in whole)
    if heard and PEAKS not in whole and FollowUp.WAVEFORM not in facts.to_do:
        found.append((Kind.WAVEFORM_MISSING, ""))
    if heard and seen.name_missing and FollowUp.NAME not in facts.to_do:
        found.append((Kind.NAME_MISSING, "it does not lie under its name"))
    return found
