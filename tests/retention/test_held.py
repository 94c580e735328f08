"""Nothing that a legal hold covers is ever deleted, by any of the ways, nor by any who race."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from callrec_pbx.catalogue import migrate
from callrec_pbx.catalogue.amend import Place
from callrec_pbx.catalogue.holds import connect, covered, new_hold, place, release, resolve
from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.catalogue.queries import find_recording
from callrec_pbx.domain.holds import Hold
from callrec_pbx.domain.words import AudioFormat, HoldKind, OnQuota, RecordingState
from callrec_pbx.policy.people import changing
from callrec_pbx.recorder.spool import Spool
from callrec_pbx.retention.deletion import Asked, ask, plan_deletion
from callrec_pbx.retention.erase import begin_or_go_on, carry_out, plan_erasure
from callrec_pbx.retention.erase_find import find, number_of
from callrec_pbx.retention.run import Terms, run
from callrec_pbx.storage.holds import HeldError
from callrec_pbx.storage.store import RecordingStore
from tests.catalogue.cli import Commands, configured
from tests.databases import Databases, only_sqlite
from tests.retention.made import Made
from tests.storage.samples import START, a_call, a_recording, an_id

S = RecordingState
K = HoldKind
LATER = START + timedelta(days=400)


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


def five(made: Made) -> None:
    """Calls of a few parties; two of them were merged."""
    for number in range(1, 6):
        day = START + timedelta(days=number)
        call = a_call(
            number,
            day,
            a_number=f"03012345{number % 3}",
            ddi="",
            consents=(),
            legs=(),
            merged_into=an_id(4, "c") if number == 5 else "",
        )
        owner = "anna@example.com" if number % 2 else "202"
        made.call(call, a_recording(number, call, day, owner=owner, line=owner))


def retention(made: Made) -> None:
    run(at(made), Terms(call_days=1), now=LATER)


def manual(made: Made) -> None:
    for number in range(1, 6):
        try:
            ask(at(made), an_id(number), Asked("cli:anna", "x", START))
        except HeldError:
            continue
    run(at(made), Terms(), now=START + timedelta(days=10), only_deletions=True)


def erase(made: Made) -> None:
    for last in "012":
        number = number_of(at(made), f"03012345{last}")
        plan = plan_erasure(at(made), find(at(made), number))
        carry_out(at(made), begin_or_go_on(at(made), plan, number, "cli:anna", ""))


def discard(made: Made) -> None:
    for number in range(1, 6):
        facts, call = made.store.read(made.store.sidecar_path(_at(number)))
        made.store.write_sidecar(replace(facts, state=S.CAPTURED), call)
        made.store.write_sidecar(replace(facts, state=S.DISCARDED), call)
        try:
            made.store.delete_audio(replace(facts, state=S.DISCARDED))
        except HeldError:
            continue
    made.store.unfinished()
    run(at(made), Terms(), now=START, only_deletions=True)


def _at(number: int) -> Any:
    return a_recording(number, at=START + timedelta(days=number))


WAYS: dict[str, Callable[[Made], None]] = {
    "retention": retention,
    "manual": manual,
    "erase": erase,
    "discard": discard,
}

HOLDS: st.SearchStrategy[Any] = st.one_of(
    st.integers(1, 5).map(lambda n: (K.RECORDING, an_id(n), {})),
    st.integers(1, 5).map(lambda n: (K.CALL, an_id(n, "c"), {})),
    st.integers(0, 3).map(lambda n: (K.NUMBER, f"+493012345{n}", {})),
    st.sampled_from(["anna@example.com", "202", "bo"]).map(lambda p: (K.PERSON, p, {})),
    st.tuples(st.integers(0, 6), st.integers(0, 3), st.sampled_from(["", "202"])).map(
        lambda t: (
            K.PERIOD,
            "",
            {
                "start": START + timedelta(days=t[0]),
                "end": START + timedelta(days=t[0] + t[1], minutes=1),
                "owner": t[2],
            },
        )
    ),
)


@contextmanager
def fresh(databases: Databases, folder: Path) -> Iterator[Made]:
    """A catalogue for one example."""
    folder.mkdir()
    engine = migrate.open_current(databases.migrated_file(folder / "catalogue.db"))
    made = Made(engine, folder / "recordings")
    connect(made.store.holds, engine)
    try:
        yield made
    finally:
        engine.dispose()


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=st.lists(HOLDS, min_size=1, max_size=2), released=st.booleans())
def test_nothing_held_is_deleted_in_any_way(
    databases: Databases,
    tmp_path_factory: pytest.TempPathFactory,
    way: str,
    wanted: list[Any],
    released: bool,
) -> None:
    with fresh(databases, tmp_path_factory.mktemp("held") / "x") as made:
        five(made)
        holds = [
            resolve(made.engine, new_hold(kind, subject, "dispute", "cli:bo", **more))
            for kind, subject, more in wanted
        ]
        for hold in holds:
            place(at(made), hold)
        if released:
            release(at(made), holds.pop().hold_id, "cli:bo", "settled")
        held = {
            recording.recording_id
            for hold in holds
            for one in covered(at(made), hold)
            for recording in one.recordings
        }
        WAYS[way](made)
        assert set(made.audio()) == held
        for number in range(1, 6):
            call = made.store.read(made.store.sidecar_path(_at(number)))[1]
            if an_id(number) in held:
                assert call.a_number
    # What is left is what was held, and nothing else: no hold keeps what it does not cover.


@only_sqlite
def test_a_quota_takes_nothing_held_and_nothing_else_for_it(made: Made) -> None:
    with changing(made.engine, author="t") as changes:
        values = {"quota_gb": 1, "on_quota": OnQuota.PRUNE}
        changes.set(Entity.TENANT, ("default",), values)
    for number in (1, 2, 3):
        call = a_call(number)
        forever: dict[str, Any] = {"retention": "unlimited", "delete_after": None}
        forever["size"] = 900_000_000
        made.call(call, a_recording(number, call, **forever))
    place(at(made), new_hold(K.RECORDING, an_id(2), "dispute", "cli:bo"))
    for _ in range(2):
        run(at(made), Terms(), now=LATER)
        assert made.audio() == [an_id(2), an_id(3)]


@only_sqlite
def test_a_pruning_that_was_begun_before_the_hold_does_not_go_on(made: Made) -> None:
    call = a_call()
    made.call(call, a_recording(state=S.PRUNING))
    made.store.audio_path(a_recording()).write_bytes(b"talk")
    place(at(made), new_hold(K.CALL, call.call_id, "dispute", "cli:bo"))
    run(at(made), Terms(), now=LATER)
    assert made.audio() == [an_id(1)]


PAUSED = """
import sys
from callrec_pbx.cli import main
from callrec_pbx.retention import gather
from callrec_pbx.storage.store import RecordingStore
gather.BATCH = 3
where, count = sys.argv[1], [0]
name = {"between": "deleting", "within": "_delete"}[where]
before = getattr(RecordingStore, name)
def paused(self, *given, **more):
    # A deletion within another one holds the lock already.
    inner = where == "between" and getattr(self._deleting, "depth", 0)
    count[0] += not inner
    if count[0] == 2 and not inner:
        print("here", flush=True)
        sys.stdin.readline()
    return before(self, *given, **more)
setattr(RecordingStore, name, paused)
main(sys.argv[2:])
"""


@pytest.mark.parametrize("where", ["between", "within"])
def test_a_hold_stops_retention_that_is_at_work(made: Made, callrec: Commands, where: str) -> None:
    """A real process, paused between two batches, or in the middle of one."""
    for number in range(1, 11):
        call = a_call(number, START + timedelta(seconds=number))
        made.call(call, a_recording(number, call, START + timedelta(seconds=number)))
    hold = resolve(made.engine, new_hold(K.NUMBER, "+4930123456", "dispute", "cli:bo"))
    arguments = [where, "--config", str(callrec.config), "retention", "run", "--json"]
    with subprocess.Popen(
        [sys.executable, "-c", PAUSED, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        line = b"-"
        while line not in (b"here\n", b""):
            line = process.stdout.readline()
        left: list[str] = []

        def place_and_look() -> None:
            place(at(made), hold)
            left.extend(made.audio())

        placing = threading.Thread(target=place_and_look)
        placing.start()
        # In the middle of a deletion it waits, or it would be too early.
        placing.join(60 if where == "between" else 0.5)
        process.stdin.write(b"\n")
        process.stdin.flush()
        placing.join(60)
        process.stdin.close()
        process.stdout.read()
    assert made.audio() == left
    assert len(left) >= 5
    assert all(made.store.held(find_recording(made.engine, one).recording) for one in left)


@only_sqlite
def test_an_encoded_recording_keeps_its_wav_too(made: Made) -> None:
    facts = a_recording(format=AudioFormat.OPUS, encoded_size=4)
    made.call(a_call(), facts)
    made.store.encoded_path(facts).write_bytes(b"opus")
    place(at(made), new_hold(K.RECORDING, an_id(1), "dispute", "cli:bo"))
    with pytest.raises(HeldError):
        made.store.delete_audio(facts)
    assert made.store.encoded_path(facts).exists()
    assert made.audio() == [an_id(1)]


def holds_of(store: RecordingStore) -> tuple[Hold, ...]:
    return store.holds.active()


def test_the_commands_place_show_and_release(made: Made, callrec: Commands) -> None:
    five(made)
    number = ("hold", "add", "--number", "030-123451", "--reason", "dispute 12")
    dry = callrec(*number, "--dry-run")
    assert dry.out.startswith("would cover 3 recordings and 3 calls")
    assert holds_of(made.store) == ()
    done = callrec(*number, "--json")
    assert (done.status, done.json["recordings"], done.json["calls"]) == (0, 3, 3)
    hold_id = done.json["hold"]["hold_id"]
    shown = callrec("recordings", "show", an_id(1))
    assert f"legal hold {hold_id} on a number: dispute 12" in shown.out
    document = callrec("hold", "show", hold_id, "--json").json
    assert {r for call in document["calls"] for r in call["recordings"]} == {
        an_id(number) for number in (1, 4, 5)
    }
    assert hold_id in callrec("hold", "list").out
    nothing = callrec("hold", "add", "--number", "+4916099999999", "--reason", "x")
    assert "it covers nothing now, but calls with that number" in nothing.out
    of_time = callrec("hold", "add", "--from", "2026-03-02", "--to", "2026-03-03", "--owner",
                      "202", "--reason", "audit", "--json")  # fmt: skip
    assert of_time.json["recordings"] == 1
    released = callrec("hold", "release", hold_id, "--why", "settled", "--yes")
    assert released.status == 0
    assert hold_id not in callrec("hold", "list").out
    assert hold_id in callrec("hold", "list", "--all").out
    broken = made.store.directory / "holds" / "20200101-00000000.json"
    broken.write_text("{")
    listed = callrec("hold", "list")
    assert (listed.status, "everything is held" in listed.err) == (1, True)


@only_sqlite
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((), "give one of --recording"),
        (("--number", "1", "--person", "x"), "give one of --recording"),
        (("--number", "anna"), "has no digits"),
        (("--recording", "zz"), "there is none"),
        (("--person", " "), "is empty"),
        (("--number", "1", "--owner", "x"), "narrows a period"),
        (("--call", "c", "--tenant", "x"), "narrows a number"),
        (("--from", "soon"), "is not a date"),
        (("--from", "2026-03-02", "--to", "2026-03-01"), "is not after the beginning"),
    ],
)
def test_bad_input_places_nothing(
    made: Made, callrec: Commands, arguments: tuple[str, ...], error: str
) -> None:
    ran = callrec("hold", "add", "--reason", "x", *arguments)
    assert ran.status == 2
    assert error in " ".join(ran.err.replace("│", " ").split())
    assert made.store.holds.all() == ()


@only_sqlite
def test_a_hold_is_released_only_when_it_is_confirmed(made: Made, callrec: Commands) -> None:
    hold = new_hold(K.NUMBER, "+4930123451", "dispute", "cli:bo")
    place(at(made), hold)
    ran = callrec("hold", "release", hold.hold_id, "--why", "settled")
    assert ran.status == 1
    assert made.store.holds.active() == (hold,)
    assert callrec("hold", "release", "20200101-00000000", "--why", "x").status == 2


@only_sqlite
def test_a_plan_of_deletion_leaves_out_what_is_held(made: Made) -> None:
    five(made)
    place(at(made), new_hold(K.PERSON, "202", "dispute", "cli:bo"))
    found = [find_recording(made.engine, an_id(number)) for number in range(1, 6)]
    plan = plan_deletion(made.store, found)
    assert [one.recording_id for one in plan.recordings] == [an_id(n) for n in (1, 3, 5)]
    assert [left.recording.recording_id for left in plan.left] == [an_id(2), an_id(4)]


@only_sqlite
async def test_an_objection_to_what_is_held_leaves_the_audio(made: Made) -> None:
    class Rows:
        def save_call(self, call: Any) -> None: ...
        def save_recording(self, recording: Any) -> None: ...

    spool = Spool(made.store, Rows(), 0)  # type: ignore[arg-type]
    call, gone = a_call(), a_recording(state=S.DISCARDED)
    made.call(call, a_recording(state=S.RECORDING))
    made.store.audio_path(gone).write_bytes(b"talk")
    hold = new_hold(K.CALL, call.call_id, "dispute", "cli:bo")
    place(at(made), hold)
    with structlog.testing.capture_logs() as logged:
        await spool.save_recording(gone, call)
        await spool.discard(gone)
    assert [line["event"] for line in logged] == ["discard_held"]
    assert made.audio() == [an_id(1)]
    await spool.close()
    release(at(made), hold.hold_id, "cli:bo", "settled")
    run(at(made), Terms(), now=START, only_deletions=True)
    assert made.audio() == []


@only_sqlite
def test_without_the_catalogue_it_is_not_sure_what_was_merged(made: Made) -> None:
    call = a_call()
    made.call(call, a_recording())
    place(at(made), new_hold(K.CALL, an_id(9, "c"), "dispute", "cli:bo"))

    def away(_call: Any) -> Any:
        raise OSError("no connection")

    made.store.holds.related = away
    with pytest.raises(HeldError, match=r"cannot be asked.*no connection"):
        made.store.delete_audio(a_recording())


@only_sqlite
@pytest.mark.parametrize(
    "arguments",
    [
        ("hold", "add", "--number", "030-123451", "--reason", "dispute 12"),
        ("erase", "--number", "+4930123451", "--yes"),
    ],
    ids=lambda arguments: str(arguments[0]),
)
def test_a_misspelt_tenant_is_refused(
    made: Made, callrec: Commands, arguments: tuple[str, ...]
) -> None:
    """What covers nothing must not be taken for what protects, or was erased."""
    made.call(a_call(1, tenant="before"), a_recording(1, tenant="before"))
    ran = callrec(*arguments, "--tenant", "defualt")
    assert (ran.status, "is no tenant" in ran.err, ran.out) == (2, True, "")
    assert made.store.holds.all() == ()
    for tenant in ("default", "before"):
        assert callrec(*arguments, "--tenant", tenant).status == 0
