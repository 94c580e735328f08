"""Manual deletion: with a while to think again, never of what is held or still being made."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select
from typer.testing import CliRunner

from callrec_pbx.catalogue.amend import Place
from callrec_pbx.catalogue.audit import AUDIT
from callrec_pbx.catalogue.holds import connect, new_hold, place
from callrec_pbx.cli import app
from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.domain.words import HoldKind, RecordingState
from callrec_pbx.retention.deletion import Asked, ask, undo, waiting
from callrec_pbx.retention.run import Terms, run
from callrec_pbx.storage.holds import HeldError
from tests.catalogue.cli import Commands, configured
from tests.databases import only_sqlite
from tests.retention.made import Made
from tests.storage.samples import START, a_call, a_recording, an_id, without_audio

S = RecordingState


@pytest.fixture
def made(engine: Engine, tmp_path: Path) -> Made:
    made = Made(engine, tmp_path / "recordings")
    connect(made.store.holds, engine)
    return made


@pytest.fixture
def callrec(tmp_path: Path, url: str, made: Made) -> Commands:
    return configured(tmp_path, url, made.store.directory)


def at(made: Made) -> Place:
    return Place(made.engine, made.store)


def kept(number: int, **changes: Any) -> RecordingFacts:
    """A recording that retention would keep for ever."""
    day = START + timedelta(days=number)
    values = {"retention": "unlimited", "delete_after": None, "call": a_call(number, day)}
    return a_recording(number, at=day, **(values | changes))


def four(made: Made) -> None:
    """Two calls with a recording each, one with two."""
    for number in (1, 2):
        made.call(a_call(number, START + timedelta(days=number)), kept(number))
    day = START + timedelta(days=3)
    made.call(a_call(3, day), kept(3), kept(4, call=a_call(3, day)))


def facts(made: Made, number: int) -> RecordingFacts:
    """What the sidecar says."""
    return made.store.read(made.store.sidecar_path(kept(number)))[0]


def later(made: Made, minutes: int) -> None:
    """What the job does that looks every ten minutes."""
    run(at(made), Terms(), now=datetime.now(UTC) + timedelta(minutes=minutes), only_deletions=True)


def test_it_takes_effect_later_and_leaves_a_tombstone(made: Made, callrec: Commands) -> None:
    four(made)
    ids = [an_id(3), an_id(4)]
    asked = callrec("recordings", "delete", *ids, "--why", "ticket 7", "--yes", "--json")
    assert (asked.status, asked.json["recordings"]) == (0, ids)
    when = datetime.fromisoformat(asked.json["deletion_at"])
    assert timedelta(minutes=29) < when - datetime.now(UTC) <= timedelta(minutes=30)
    assert facts(made, 3).deletion_why == "ticket 7"
    assert "at" in callrec("recordings", "show", an_id(3)).out
    assert "will be deleted" in callrec("recordings", "show", an_id(3)).out
    later(made, 29)
    assert len(made.audio()) == 4
    later(made, 31)
    assert made.audio() == [an_id(1), an_id(2)]
    gone = next(row for row in made.tables()["recording"] if row["recording_id"] == an_id(3))
    assert gone["state"] is S.PRUNED
    assert gone["prune_reason"] == "ticket 7"
    assert gone["pruned_by"].startswith("cli:")
    call = next(row for row in made.tables()["call"] if row["call_id"] == an_id(3, "c"))
    assert call["a_number"] == ""
    with made.engine.begin() as connection:
        query = select(AUDIT.c.action, AUDIT.c.subject).order_by(AUDIT.c.seq)
        lines = [tuple(row) for row in connection.execute(query)]
    assert lines[:2] == [("delete", one) for one in ids]


def test_it_can_be_taken_back_until_then(made: Made, callrec: Commands) -> None:
    four(made)
    callrec("recordings", "delete", an_id(1), an_id(2), an_id(3), "--why", "oops", "--yes")
    assert [one.recording_id for one in waiting(made.engine)] == [an_id(n) for n in (1, 2, 3)]
    assert callrec("recordings", "undelete", an_id(1)).status == 0
    assert facts(made, 1) == kept(1)
    again = callrec("recordings", "undelete", an_id(1))
    assert (again.status, "no deletion was waiting" in again.err) == (1, True)
    assert callrec("recordings", "undelete", "--all-of", "cli:nobody", "--json").json == {
        "undeleted": [],
        "failures": [],
    }
    later(made, 31)
    late = callrec("recordings", "undelete", an_id(2))
    assert (late.status, "pruned" in late.err) == (1, True)
    assert made.audio() == [an_id(1), an_id(4)]
    callrec("recordings", "delete", an_id(1), an_id(4), "--why", "oops", "--yes")
    assert callrec("recordings", "undelete", "--all").out == "2 deletions taken back\n"
    later(made, 31)
    assert made.audio() == [an_id(1), an_id(4)]


@only_sqlite
def test_what_is_chosen_by_filter_is_confirmed_by_its_number(made: Made, callrec: Commands) -> None:
    four(made)
    made.call(a_call(5), replace(a_recording(5), state=S.PRUNED))
    chosen = ("recordings", "delete", "--owner", "201", "--from", "2026-03-03", "--why", "x")
    dry = callrec(*chosen, "--dry-run", "--json")
    assert dry.json["recordings"] == [an_id(number) for number in (2, 3, 4)]
    assert waiting(made.engine) == []
    for answer, done in (("y\n", 0), ("2\n", 0), ("3\n", 3)):
        ran = CliRunner().invoke(app, ["--config", str(callrec.config), *chosen], input=answer)
        assert "Type 3 to delete 3 recordings" in ran.output
        assert len(waiting(made.engine)) == done


@only_sqlite
def test_what_cannot_be_deleted_is_left_out_and_said(made: Made, callrec: Commands) -> None:
    four(made)
    made.call(a_call(5, ended_at=None), a_recording(5))
    made.call(a_call(6), a_recording(6, state=S.CAPTURED))
    made.call(a_call(7), replace(a_recording(7), state=S.PRUNED))
    made.call(a_call(8), without_audio(8, state=S.DISCARDED))
    place(at(made), new_hold(HoldKind.RECORDING, an_id(1), "dispute", "cli:anna"))
    ids = [an_id(number) for number in (1, 2, 5, 6, 7, 8)]
    ran = callrec("recordings", "delete", *ids, "--why", "x", "--yes", "--json")
    assert ran.json["recordings"] == [an_id(2)]
    left = {one["id"]: one["why"] for one in ran.json["left"]}
    for number, why in (
        (1, "dispute"),
        (5, "its call is not over"),
        (6, "still being made"),
        (7, "deleted already"),
        (8, "discarded"),
    ):
        assert why in left[an_id(number)]
    again = callrec("recordings", "delete", an_id(2), "--why", "x", "--yes")
    assert re_spaced(again.out).startswith(f"left out: {an_id(2)}: is deleted at")
    assert "held" in callrec("recordings", "show", an_id(1)).out


def re_spaced(text: str) -> str:
    return " ".join(text.split())


@only_sqlite
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--why", "x"), "give ids, or filters"),
        ((an_id(1), "--owner", "201", "--why", "x"), "give ids, or filters"),
        ((an_id(1), "--why", " "), "is empty"),
        ((an_id(1), "--why", "of 030-123456"), "names a number of the calls"),
        (("zz", "--why", "x"), "there is none"),
    ],
)
def test_bad_input_changes_nothing(
    made: Made, callrec: Commands, arguments: tuple[str, ...], error: str
) -> None:
    four(made)
    ran = callrec("recordings", "delete", "--yes", *arguments)
    assert (ran.status, waiting(made.engine)) == (2, [])
    assert error in re_spaced(ran.err)


@only_sqlite
def test_a_hold_placed_meanwhile_wins(made: Made) -> None:
    four(made)
    asked = Asked("cli:anna", "x", datetime.now(UTC))
    ask(at(made), an_id(1), asked)
    place(at(made), new_hold(HoldKind.CALL, an_id(1, "c"), "dispute", "cli:bo"))
    place(at(made), new_hold(HoldKind.CALL, an_id(2, "c"), "dispute", "cli:bo"))
    with pytest.raises(HeldError, match="dispute"):
        ask(at(made), an_id(2), asked)
    later(made, 1)
    assert an_id(1) in made.audio()
    assert undo(at(made), an_id(1), "cli:anna")
