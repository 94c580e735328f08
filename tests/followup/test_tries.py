"""Tries that are counted, set aside, put off; steps that are killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.domain.words import AudioFormat, FollowUp, RecordingState
from callrec_pbx.followup import steps, waiting
from callrec_pbx.followup.steps import StoppedError
from callrec_pbx.followup.tries import MOST_TRIES, Came, carry_out, item, retry
from tests.databases import only_sqlite
from tests.followup.house import BY_OWNER, ENCODE, NAME, WAVEFORM, House
from tests.storage.samples import an_id

F = AudioFormat


def names(lines: list[Any]) -> list[str]:
    return [line["event"] for line in lines]


@only_sqlite
def test_all_that_is_to_do(house: House) -> None:
    work = replace(house.work, names=BY_OWNER)
    facts = house.stored(names=True)
    assert carry_out(work, facts.recording_id) is Came.DONE
    done = house.facts(facts)
    assert (done.to_do, done.tries, done.follow_up_error) == ((), 0, "")
    assert house.files(facts) == [".json", ".opus", ".peaks.json"]
    assert done.named
    house.whole(facts)
    assert carry_out(work, facts.recording_id) is Came.DONE
    assert house.facts(facts) == done


@only_sqlite
def test_a_poison_file_is_set_aside_after_three_tries(house: House, logged: list[Any]) -> None:
    facts = house.broken()
    came = [carry_out(house.work, facts.recording_id) for _ in range(4)]
    assert came == [Came.FAILED, Came.FAILED, Came.SET_ASIDE, Came.SET_ASIDE]
    now = house.facts(facts)
    assert (now.tries, now.to_do) == (MOST_TRIES, (ENCODE, WAVEFORM))
    assert now.follow_up_error.startswith(f"encode: {house.store.audio_path(facts)}")
    assert "does not begin as a WAV file does" in now.follow_up_error
    assert waiting.waiting(house.engine, 10) == []
    assert waiting.unfinished(house.engine, set_aside=True) == [now]
    assert names(logged).count("follow_up_set_aside") == 1
    assert house.files(facts) == [".json", ".wav"]


@only_sqlite
def test_it_is_tried_again_when_somebody_says_so(house: House) -> None:
    facts = house.broken()
    good = house.store.audio_path(house.stored(2)).read_bytes()
    for _ in range(MOST_TRIES):
        carry_out(house.work, facts.recording_id)
    again = retry(house.work, facts.recording_id)
    assert (again.tries, again.follow_up_error) == (0, "")
    assert waiting.waiting(house.engine, 10) == [an_id(1), an_id(2)]
    house.store.audio_path(facts).write_bytes(good)
    assert carry_out(house.work, facts.recording_id) is Came.DONE


@only_sqlite
def test_tries_count_for_each_step(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = house.stored()
    fails = iter([OSError(5, "bad disk"), OSError(5, "bad disk"), None, RuntimeError()])
    for name in ("encode", "waveform"):
        real = getattr(steps, name)

        def step(work: steps.Work, one: str, real: steps.Step = real) -> RecordingFacts:
            error = next(fails, None)
            if error is not None:
                raise error
            return real(work, one)

        monkeypatch.setitem(steps.STEPS, FollowUp(name), step)
    assert carry_out(house.work, facts.recording_id) is Came.FAILED
    assert carry_out(house.work, facts.recording_id) is Came.FAILED
    assert house.facts(facts).tries == 2
    assert carry_out(house.work, facts.recording_id) is Came.FAILED
    now = house.facts(facts)
    assert (now.to_do, now.tries, now.follow_up_error) == ((WAVEFORM,), 1, "waveform: RuntimeError")
    assert carry_out(house.work, facts.recording_id) is Came.DONE


@only_sqlite
def test_another_runner_is_at_work(house: House) -> None:
    facts = house.stored()
    with house.store.holding(item(facts.recording_id)):
        assert carry_out(house.work, facts.recording_id) is Came.BUSY
    assert house.facts(facts) == facts


@only_sqlite
@pytest.mark.parametrize("state", [RecordingState.DISCARDED, RecordingState.RECORDING])
def test_what_is_not_settled_is_left_alone(house: House, state: RecordingState) -> None:
    facts = house.stored()
    house.change(facts, state=state)
    assert carry_out(house.work, facts.recording_id) is Came.GONE
    assert waiting.waiting(house.engine, 10) == []
    assert carry_out(house.work, an_id(99)) is Came.GONE


@only_sqlite
def test_a_row_that_is_behind_is_brought_up(house: House) -> None:
    facts = house.stored()
    house.store.write_sidecar(
        replace(facts, to_do=()), house.store.read(house.store.sidecar_path(facts))[1]
    )
    assert waiting.waiting(house.engine, 10) == [facts.recording_id]
    assert carry_out(house.work, facts.recording_id) is Came.DONE
    assert waiting.waiting(house.engine, 10) == []


@only_sqlite
def test_a_runner_that_stops_counts_no_try(house: House) -> None:
    facts = house.stored()

    def stop() -> None:
        raise StoppedError

    assert carry_out(replace(house.work, tick=stop), facts.recording_id) is Came.STOPPED
    assert house.facts(facts) == facts
    assert house.files(facts) == [".json", ".wav"]


@only_sqlite
def test_room_that_recordings_need_is_left_to_them(house: House, logged: list[Any]) -> None:
    facts = house.stored()
    status = os.statvfs(house.store.directory)
    free = status.f_bavail * status.f_frsize
    work = replace(house.work, min_free_bytes=2 * free)
    for _ in range(MOST_TRIES + 1):
        assert carry_out(work, facts.recording_id) is Came.NO_ROOM
    assert house.facts(facts) == facts
    assert set(names(logged)) == {"follow_up_put_off"}
    assert carry_out(house.work, facts.recording_id) is Came.DONE


@contextmanager
def disk(folder: Path, size_kb: int) -> Iterator[None]:
    """A file system of that size, in a folder."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    options = f"size={size_kb}k"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@only_sqlite
def test_a_disk_that_gets_full_counts_no_try(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    with disk(folder, 1024):
        house = House(engine, folder)
        facts = house.stored(seconds=10, format=F.FLAC)
        # Noise, which no codec makes smaller.
        path = house.store.audio_path(facts)
        path.write_bytes(path.read_bytes()[:44] + os.urandom(path.stat().st_size - 44))
        filler = folder / "filler"

        def fill() -> None:
            """Somebody else takes the room that was there."""
            filler.write_bytes(bytes(650 * 1024))

        work = replace(house.work, tick=lambda: None if filler.exists() else fill())
        assert carry_out(work, facts.recording_id) is Came.NO_ROOM
        assert house.facts(facts) == facts
        assert house.files(facts) == [".json", ".wav"]
        filler.write_bytes(b"")
        assert carry_out(work, facts.recording_id) is Came.DONE
        house.whole(facts)


KILLER = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from callrec_pbx.catalogue.amend import Place
from callrec_pbx.catalogue.migrate import open_current
from callrec_pbx.followup import steps
from callrec_pbx.followup.tries import carry_out
from callrec_pbx.storage import files
from callrec_pbx.storage.store import RecordingStore
url, directory, recording, where = sys.argv[1:]
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
work = steps.Work(Place(open_current(url), RecordingStore(Path(directory))))
if where == "begun":
    steps.STEPS[steps.FollowUp.ENCODE] = die
elif where == "encoding":
    work = replace(work, tick=die)
elif where == "verified":
    files.take_over = die
elif where == "renamed":
    steps.replace = lambda *_, **_changes: die()
elif where == "deleting":
    files.remove = lambda path, remove=files.remove: (remove(path), path.endswith(".wav") and die())
carry_out(work, recording)
"""


def killed(url: str, house: House, facts: RecordingFacts, where: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLER, url, str(house.store.directory), facts.recording_id, where],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


@only_sqlite
@pytest.mark.parametrize("where", ["begun", "encoding", "verified", "renamed", "deleting"])
def test_a_step_that_is_killed_counts_and_is_done_by_the_next(
    house: House, url: str, where: str
) -> None:
    facts = house.stored()
    killed(url, house, facts, where)
    now = house.facts(facts)
    assert (now.tries, now.to_do) == (1, (ENCODE, WAVEFORM))
    verdict = house.store.audio_path(facts).exists() or now.encoded
    assert verdict, "there is always something to listen to"
    assert carry_out(house.work, facts.recording_id) is Came.DONE
    assert house.files(facts) == [".json", ".opus", ".peaks.json"]
    house.whole(facts)


@only_sqlite
def test_what_kills_each_time_is_set_aside(house: House, url: str, logged: list[Any]) -> None:
    facts = house.stored()
    for _ in range(MOST_TRIES):
        killed(url, house, facts, "encoding")
    assert house.files(facts) == [".json", ".opus.tmp", ".wav"]
    assert waiting.waiting(house.engine, 10) == []
    (found,) = waiting.killed(house.engine)
    assert carry_out(house.work, found.recording_id) is Came.SET_ASIDE
    assert house.files(facts) == [".json", ".wav"]
    now = house.facts(facts)
    assert now.follow_up_error == f"encode: {waiting.KILLED}"
    assert waiting.killed(house.engine) == []
    assert names(logged) == ["follow_up_set_aside"]


def test_which_recordings_wait(house: House) -> None:
    """On both kinds of database."""
    facts = [house.stored(number, seconds=0.1) for number in range(1, 6)]
    house.change(facts[0], 1, to_do=())
    house.change(facts[1], 2, tries=MOST_TRIES, follow_up_error="encode: no")
    house.change(facts[2], 3, tries=MOST_TRIES)
    house.change(facts[3], 4, tries=MOST_TRIES - 1, to_do=(NAME,))
    assert waiting.waiting(house.engine, 10) == [an_id(4), an_id(5)]
    assert waiting.waiting(house.engine, 1) == [an_id(4)]

    def ids(found: list[RecordingFacts]) -> list[str]:
        return [one.recording_id for one in found]

    assert ids(waiting.unfinished(house.engine)) == [an_id(n) for n in (2, 3, 4, 5)]
    assert ids(waiting.unfinished(house.engine, set_aside=True)) == [an_id(2), an_id(3)]
    assert ids(waiting.unfinished(house.engine, set_aside=False, limit=1)) == [an_id(4)]
    assert ids(waiting.killed(house.engine)) == [an_id(3)]
    assert [waiting.count(house.engine, set_aside=aside) for aside in (True, False)] == [2, 2]
    assert [waiting.why(one) for one in waiting.unfinished(house.engine)] == [
        "encode: no",
        waiting.KILLED,
        "",
        "",
    ]
    for number in (1, 2, 3, 4):
        house.change(facts[number - 1], number, to_do=(), encoded_size=1, tries=0)
    house.change(facts[1], 2, has_wav=False)
    house.change(facts[2], 3, keep_wav=True)
    kept = waiting.kept_for_a_hold(house.engine, None, 10)
    assert ids(kept) == [an_id(1), an_id(4)]
    first = (kept[0].created_at, kept[0].recording_id)
    assert ids(waiting.kept_for_a_hold(house.engine, first, 10)) == [an_id(4)]


@only_sqlite
def test_an_index_serves_the_runner(house: House) -> None:
    """Also where there are no statistics yet."""
    query = str(
        waiting.waiting_query(50).compile(house.engine, compile_kwargs={"literal_binds": True})
    )
    with house.engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}").all()
    assert "ix_recording_to_do" in str(plan)
