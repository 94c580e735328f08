"""Ways to damage a house, each with what a check must say of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, update

from callrec_pbx.catalogue.holds import new_hold, place
from callrec_pbx.catalogue.rows import CALL, RECORDING
from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.domain.words import FollowUp, HoldKind
from callrec_pbx.storage.serial import Tombstone
from tests.reconcile.house import House, S, write_wav
from tests.storage.samples import START

Act = Callable[[House, RecordingFacts], object]


@dataclass(frozen=True)
class Damage:
    """One way.

    Attributes:
        found: The kinds that a check says, in order of names.
        left: Those of them that it cannot mend.
        encoded: Whether it is done to a recording whose WAV file was replaced.
        loses: Whether the damage itself takes the audio away, or a mend rightly does.
    """

    name: str
    act: Act
    found: tuple[str, ...]
    left: tuple[str, ...] = ()
    encoded: str = ""
    loses: bool = False


def _delete_rows(house: House, facts: RecordingFacts, table: Any = CALL) -> None:
    key = CALL.c.call_id == facts.call_id if table is CALL else (
        RECORDING.c.recording_id == facts.recording_id
    )  # fmt: skip
    with house.engine.begin() as connection:
        connection.execute(delete(table).where(key))


def _change_row(house: House, facts: RecordingFacts, **values: Any) -> None:
    with house.engine.begin() as connection:
        query = update(RECORDING).where(RECORDING.c.recording_id == facts.recording_id)
        connection.execute(query.values(**values))


def _unlink(*names: str) -> Act:
    def act(house: House, facts: RecordingFacts) -> None:
        for name in names:
            {
                "sidecar": house.store.sidecar_path(facts),
                "call": house.store.call_path(house.call(facts)) if name == "call" else None,
                "wav": house.store.audio_path(facts),
                "encoded": house.store.encoded_path(facts),
                "peaks": house.store.peaks_path(facts),
            }[name].unlink()  # type: ignore[union-attr]

    return act


def _save(**changes: Any) -> Act:
    def act(house: House, facts: RecordingFacts) -> None:
        house.save(replace(facts, **changes), house.call(facts))
        for marker in (house.store.directory / "open").glob("[!.]*"):
            marker.unlink()

    return act


def _no_call(house: House, facts: RecordingFacts) -> None:
    """The call's sidecar is gone, and its row says no more than that a recording names it."""
    _unlink("call")(house, facts)
    with house.engine.begin() as connection:
        query = update(CALL).where(CALL.c.call_id == facts.call_id)
        connection.execute(query.values(pbx_ids=[], direction=None, ended_at=None, outcome=None))


def _no_end(house: House, facts: RecordingFacts) -> None:
    house.save(facts, replace(house.call(facts), ended_at=None, outcome=None, reason=""))
    for marker in (house.store.directory / "open").glob("[!.]*"):
        marker.unlink()


def _break(house: House, facts: RecordingFacts) -> None:
    house.store.sidecar_path(facts).write_bytes(b'{"schema":1,"recording"')


def _break_call(house: House, facts: RecordingFacts) -> None:
    house.store.call_path(house.call(facts)).write_bytes(b"")


def _break_without_row(house: House, facts: RecordingFacts) -> None:
    _delete_rows(house, facts, RECORDING)
    _break(house, facts)


def _move(house: House, facts: RecordingFacts) -> None:
    path = house.store.sidecar_path(facts)
    (house.store.directory / "2026/03/09").mkdir(exist_ok=True)
    path.rename(house.store.directory / "2026/03/09" / path.name)


def _rename(house: House, facts: RecordingFacts) -> None:
    path = house.store.sidecar_path(facts)
    path.rename(path.with_name(f"z{path.name[1:]}"))


def _copy(house: House, facts: RecordingFacts) -> None:
    path = house.store.sidecar_path(facts)
    path.with_name(f"z{path.name[1:]}").write_bytes(path.read_bytes())


def _move_call(house: House, facts: RecordingFacts) -> None:
    path = house.store.call_path(house.call(facts))
    (house.store.directory / "2026/03/09").mkdir(exist_ok=True)
    path.rename(house.store.directory / "2026/03/09" / path.name)


def _flip(house: House, facts: RecordingFacts) -> None:
    path = house.store.audio_path(facts)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def _spoil_header(house: House, facts: RecordingFacts) -> None:
    path = house.store.audio_path(facts)
    data = bytearray(path.read_bytes())
    data[40:44] = b"\0\0\0\0"
    path.write_bytes(data)


def _longer(house: House, facts: RecordingFacts) -> None:
    with house.store.audio_path(facts).open("ab") as file:
        file.write(b"\0\0")


def _sides(house: House, facts: RecordingFacts) -> None:
    for side in house.store.side_paths(facts):
        write_wav(side)


def _forget(house: House, facts: RecordingFacts) -> None:
    """Rows and sidecars are gone, as after a restore of the audio alone."""
    _unlink("call", "sidecar", "peaks")(house, facts)
    _delete_rows(house, facts)


def _forget_mixed(house: House, facts: RecordingFacts) -> None:
    _forget(house, facts)
    _sides(house, facts)


def _audio_elsewhere(house: House, facts: RecordingFacts) -> None:
    path = house.store.audio_path(facts)
    (house.store.directory / "2026/03/09").mkdir(exist_ok=True)
    path.rename(house.store.directory / "2026/03/09" / path.name)


def _temporary(house: House, facts: RecordingFacts) -> None:
    path = house.store.audio_path(facts)
    path.with_name(f"{path.name}.tmp").write_bytes(b"half")


def _temporary_sidecar(house: House, facts: RecordingFacts) -> None:
    path = house.store.sidecar_path(facts)
    path.with_name(f"{path.name}.tmp").write_bytes(b"half")


def _unknown(house: House, facts: RecordingFacts) -> None:
    house.store.audio_path(facts).with_suffix(".txt").write_text("notes")


def _unknown_peaks(house: House, facts: RecordingFacts) -> None:
    path = house.store.peaks_path(facts)
    path.with_name(f"y{path.name[1:]}").write_text("notes")


def _marker(house: House, facts: RecordingFacts) -> None:
    (house.store.directory / "open").mkdir(exist_ok=True)
    (house.store.directory / "open" / f"20260301-x{facts.recording_id[1:]}").touch()
    (house.store.directory / "open" / f"20260301-y{facts.recording_id[1:]}.call.row").touch()


def _audio_of_discarded(house: House, facts: RecordingFacts) -> None:
    _save(state=S.DISCARDED, size=None, sha256="", audio_ms=None)(house, facts)


def _audio_of_pruned(house: House, facts: RecordingFacts) -> None:
    tombstone = Tombstone(START + timedelta(days=9), "retention", "over")
    house.save(replace(facts, state=S.PRUNED), house.call(facts), tombstone)


def _named(house: House, facts: RecordingFacts) -> None:
    _save(named="2026/berlin.wav")(house, facts)


def _no_hold_file(house: House, facts: RecordingFacts) -> None:
    hold = new_hold(HoldKind.RECORDING, facts.recording_id, "court", "a@example.com")
    place(house.place, hold)
    house.store.holds.path(hold.hold_id).unlink()


def _no_hold_row(house: House, facts: RecordingFacts) -> None:
    hold = new_hold(HoldKind.RECORDING, facts.recording_id, "court", "a@example.com")
    house.store.holds.write(hold)


TRIES: dict[str, Any] = {
    "to_do": (FollowUp.WAVEFORM,),
    "tries": 3,
    "follow_up_error": "waveform: x",
}

ALL = (
    Damage("row", lambda h, f: _delete_rows(h, f, RECORDING), ("row_missing",)),
    Damage("row of the call", _delete_rows, ("row_missing", "row_missing")),
    Damage("row behind", lambda h, f: _change_row(h, f, owner="x"), ("row_differs",)),
    Damage("row not over", lambda h, f: _change_row(h, f, state=S.RECORDING), ("row_differs",)),
    Damage("sidecar", _unlink("sidecar"), ("sidecar_missing",)),
    Damage("sidecar of the call", _unlink("call"), ("sidecar_missing",)),
    Damage("both sidecars", _unlink("call", "sidecar"), ("sidecar_missing", "sidecar_missing")),
    Damage("broken sidecar", _break, ("sidecar_broken",)),
    Damage("broken sidecar of the call", _break_call, ("sidecar_broken",)),
    Damage("broken, no row", _break_without_row, ("sidecar_broken",)),
    Damage("sidecar elsewhere", _move, ("sidecar_misplaced", "sidecar_missing")),
    Damage("sidecar renamed", _rename, ("sidecar_misplaced", "sidecar_missing")),
    Damage("sidecar copied", _copy, ("sidecar_misplaced",)),
    Damage("call elsewhere", _move_call, ("sidecar_misplaced", "sidecar_missing")),
    Damage("call unknown", _no_call, ("call_unknown",)),
    Damage("call without end", _no_end, ("never_finished",)),
    Damage("recording", _save(state=S.RECORDING, ended_at=None), ("never_finished",)),
    Damage("captured", _save(state=S.CAPTURED, size=None, sha256=""), ("never_finished",)),
    Damage("interrupted", _save(state=S.INTERRUPTED, audio_ms=None), ("never_finished",)),
    Damage("not measured", _save(size=None, sha256=""), ("never_finished",)),
    Damage("discarding", _save(state=S.DISCARDING), ("never_finished",), loses=True),
    Damage("audio", _unlink("wav"), ("audio_missing",), ("audio_missing",), loses=True),
    Damage("audio replaced", _unlink("wav"), ("audio_missing",), encoded="replacing", loses=True),
    Damage("encoded", _unlink("encoded"), ("encoded_missing",), encoded="keeping"),
    Damage(
        "all audio",
        _unlink("encoded"),
        ("audio_missing",),
        ("audio_missing",),
        encoded="replaced",
        loses=True,
    ),
    Damage("waveform", _unlink("peaks"), ("waveform_missing",)),
    Damage("name", _named, ("name_missing",)),
    Damage("size", _longer, ("size_differs",), ("size_differs",), loses=True),
    Damage("channels", _sides, ("channels_left",), loses=True),
    Damage("audio of a discarded one", _audio_of_discarded, ("audio_left",), loses=True),
    Damage("audio of a pruned one", _audio_of_pruned, ("audio_left",), loses=True),
    Damage("orphan", _forget, ("audio_orphaned",)),
    Damage("orphan with channels", _forget_mixed, ("audio_orphaned",), loses=True),
    Damage("audio elsewhere", _audio_elsewhere, ("audio_misplaced", "audio_missing")),
    Damage("temporary", _temporary, ("temporary_file",)),
    Damage("temporary sidecar", _temporary_sidecar, ("temporary_file",)),
    Damage("unknown", _unknown, ("unknown_file",), ("unknown_file",)),
    Damage("unknown peaks", _unknown_peaks, ("unknown_file",), ("unknown_file",)),
    Damage("markers", _marker, ("marker_left", "marker_left")),
    Damage("set aside", _save(**TRIES), ("follow_up_set_aside",), ("follow_up_set_aside",)),
    Damage("hold without file", _no_hold_file, ("hold_file_missing",)),
    Damage("hold without row", _no_hold_row, ("hold_row_differs",)),
)
