"""Catalogue and recordings directory locked, gone, full or not writable: what then is told."""

import json
import shutil
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from callrec_pbx.domain.words import Outcome
from tests.bed import measure
from tests.calls.balance import balance
from tests.calls.faults import (
    CALLER,
    NUMBER,
    PLAIN,
    chat,
    recorded_talk,
    running,
    starts,
    talk_of,
    the_call,
    the_recording,
    tone_ms,
)
from tests.calls.houses import new_house
from tests.calls.listener import Listener, install
from tests.calls.pbx import House
from tests.calls.rules import everything
from tests.calls.scene import assert_sound, new_listener

QUICK_CHECK = {"recordings": "start_check_s = 1"}
"""A start without a file is noticed after a second."""

DISK_KB = 6144
HANG_UP = everything(whisper=False, notice="none", on_failure="hang_up")


def failed_calls(listener: Listener) -> list[tuple[str, str]]:
    """What `callrec-pbx account` lists as failed."""
    now = datetime.now(UTC)
    told = json.loads(
        listener.cli(
            "account",
            "--from",
            (now - timedelta(hours=1)).isoformat(),
            "--to",
            (now + timedelta(hours=1)).isoformat(),
            "--json",
        )
    )
    return [(call["outcome"], call["reason"]) for call in told["failed"]]


# the catalogue


async def test_locked_while_calls_are_recorded(listener: Listener) -> None:
    """Recording goes on, sidecars are written; the rows come when the lock is gone.

    The lock is held until the writer has given up waiting for it once; it then tries again and
    again, whether the lock is held for these seconds or for a minute.
    """
    await running(listener)
    with sqlite3.connect(listener.catalogue, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        talk = await recorded_talk(listener)
        await chat()
        await talk.end()
        call = await the_call(listener)
        recording = await the_recording(listener)
        await listener.until(lambda: "catalogue_unavailable" in listener.log_text(), "the outage")
        assert listener.rows("SELECT * FROM call") == []
        other.execute("ROLLBACK")
    other.close()
    assert call.outcome is Outcome.RECORDED
    assert tone_ms(listener, recording, CALLER) > 400
    await listener.until(lambda: "catalogue_available_again" in listener.log_text(), "its end")
    await balance(listener)
    (row,) = listener.rows("SELECT state FROM recording")
    assert row["state"] == "stored"


async def test_moved_away_while_calls_are_recorded(listener: Listener) -> None:
    """The same when the file is not there for a while, and comes back."""
    await running(listener)
    first = await recorded_talk(listener)
    await first.end()
    await the_call(listener)
    await balance(listener)
    away = listener.folder / "away"
    away.mkdir()
    for path in listener.folder.glob("catalogue.db*"):
        path.rename(away / path.name)
    talk = await recorded_talk(listener, "302")
    await chat()
    await talk.end()
    await listener.recording("stored", 2)
    await listener.until(lambda: "catalogue_unavailable" in listener.log_text(), "the outage")
    assert not listener.catalogue.exists()
    for path in away.iterdir():
        path.rename(listener.folder / path.name)
    await listener.until(lambda: "catalogue_available_again" in listener.log_text(), "its end")
    await balance(listener)
    assert len(listener.rows("SELECT * FROM recording")) == 2


async def test_locked_and_killed(listener: Listener) -> None:
    """What had not reached the catalogue when the listener died is brought by the next one."""
    await running(listener)
    with sqlite3.connect(listener.catalogue, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        talk = await recorded_talk(listener)
        await talk.end()
        await the_call(listener)
        await the_recording(listener)
        await listener.until(
            lambda: all(marker.suffix == ".row" for marker in listener.markers()), "only rows left"
        )
        assert len(listener.markers()) == 2
        listener.kill()
        other.execute("ROLLBACK")
    other.close()
    assert listener.rows("SELECT * FROM call") == []
    await running(listener)
    await listener.idle()
    await balance(listener)
    assert len(listener.rows("SELECT * FROM recording")) == 1


# the recordings directory


async def failed_talk(listener: Listener, reason: str) -> None:
    """A call of which nothing can be recorded goes on, and is accounted for as failed."""
    mark = listener.house.mark()
    talk = await talk_of(listener)
    await listener.recording("failed")
    await chat(1)  # longer than a conversation must be to count as one
    assert not talk.caller.is_over
    assert not talk.agent.is_over
    await talk.end()
    call = await the_call(listener)
    assert (call.outcome, call.reason) == (Outcome.FAILED, reason)
    await listener.until(lambda: len(listener.rows("SELECT * FROM call")) == 1, "the row")
    if reason != "no_audio":
        assert starts(listener, mark) == []
    await listener.until(
        lambda: (
            listener.rows("SELECT state, reason FROM recording")
            == [{"state": "failed", "reason": reason}]
        ),
        "the failed row",
    )
    assert failed_calls(listener) == [("failed", reason)]


async def test_not_writable_for_the_pbx(listener: Listener) -> None:
    """The PBX says that it records and does not: noticed, and the call goes on."""
    await running(listener, PLAIN, recordings='start_check_s = 1\npbx_directory = "/proc/callrec"')
    await failed_talk(listener, listener.house.traits.unwritable)


async def test_not_writable_for_the_pbx_and_the_call_ends(
    listener: Listener, prompts: Path
) -> None:
    """The same where such calls are to be ended: both hear why, and are hung up."""
    extra = 'start_check_s = 1\npbx_directory = "/proc/callrec"'
    await running(listener, HANG_UP, recordings=extra)
    talk = await talk_of(listener)
    await talk.caller.hear(listener.folder / "c.wav")
    await talk.caller.wait_hangup(20)
    await talk.agent.wait_hangup(20)
    call = await the_call(listener)
    reason = listener.house.traits.unwritable
    assert (call.outcome, call.reason) == (Outcome.FAILED, reason)
    heard = measure.heard(await talk.caller.heard(), prompts / "unavailable.wav")
    assert heard.score > 0.9


async def test_a_file_in_the_place_of_the_directory(listener: Listener) -> None:
    """The listener cannot write a sidecar, so nothing is begun; when it is back, all is well."""
    await running(listener)
    listener.recordings.rename(listener.folder / "away")
    listener.recordings.touch()
    mark = listener.house.mark()
    talk = await talk_of(listener)
    await chat(1.2)
    await talk.end()
    await listener.until(
        lambda: [row["outcome"] for row in listener.rows("SELECT * FROM call")] == ["failed"],
        "the row of the failed call",
    )
    assert starts(listener, mark) == []
    assert failed_calls(listener) == [("failed", "spool_missing")]
    assert listener.rows("SELECT state, reason FROM recording") == [
        {"state": "failed", "reason": "spool_missing"}
    ]
    listener.recordings.unlink()
    (listener.folder / "away").rename(listener.recordings)
    again = await recorded_talk(listener, "302")
    await again.end()
    await listener.recording("stored")
    listener.stop()
    shutil.rmtree(listener.recordings)  # the rows of the first call have no sidecars, rightly


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of 6 MB on that folder."""
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={DISK_KB}k,mode=0755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def small_house() -> AsyncIterator[House]:
    """A PBX that shares a small file system with its listeners, mounted before it started."""
    house = new_house()
    install(house)
    with small_disk(house.dir / "small"):
        async with house:
            yield house


@pytest_asyncio.fixture(loop_scope="session")
async def cramped(small_house: House) -> AsyncIterator[Listener]:
    """A listener whose recordings directory is on the small file system."""
    listener = new_listener(small_house)
    small = small_house.dir / "small" / listener.folder.name
    small.mkdir()
    listener.recordings.symlink_to(small)
    try:
        yield listener
        await small_house.quiet()
        await balance(listener)
    finally:
        listener.stop()
        shutil.rmtree(small)
        for path in small.parent.glob("ballast*"):
            path.unlink()
    assert_sound(listener)


def fill(listener: Listener, leave_kb: int) -> None:
    """Leave that much room on the small file system."""
    folder = (listener.house.dir / "small").resolve()
    room = shutil.disk_usage(folder).free // 1024 - leave_kb
    (folder / "ballast").write_bytes(bytes(room * 1024))


async def test_less_room_than_wanted(cramped: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below `min_free_mb` nothing is begun, the row says why, and with room again all is well."""
    monkeypatch.setenv("CALLREC_RECORDINGS__MIN_FREE_MB", "3")
    await running(cramped, PLAIN)
    fill(cramped, 2048)
    await failed_talk(cramped, "disk_full")
    (cramped.house.dir / "small" / "ballast").unlink()
    again = await recorded_talk(cramped, "302")
    await again.end()
    await cramped.recording("stored")


async def test_less_room_than_wanted_and_the_call_ends(
    cramped: Listener, prompts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where such calls are to be ended, the parties hear why."""
    monkeypatch.setenv("CALLREC_RECORDINGS__MIN_FREE_MB", "3")
    await running(cramped, HANG_UP)
    fill(cramped, 2048)
    caller = await cramped.house.far.call_in(
        "46701", "301", tone_hz=CALLER, hear=cramped.folder / "c.wav"
    )
    agent = await cramped.house.far.ringing("301")
    await agent.answer()
    await caller.wait_hangup(20)
    await agent.wait_hangup(20)
    call = await the_call(cramped)
    assert (call.outcome, call.reason) == (Outcome.FAILED, "disk_full")
    assert measure.heard(await caller.heard(), prompts / "unavailable.wav").score > 0.9


async def test_full_in_mid_recording(cramped: Listener) -> None:
    """What was written until then is kept, the row says why there is no more; the call goes on."""
    await running(cramped, PLAIN)
    talk = await recorded_talk(cramped)
    await chat(0.5)
    fill(cramped, 200)
    await cramped.recording("failed", timeout=12)
    assert not talk.caller.is_over
    (cramped.house.dir / "small" / "ballast").unlink()
    await talk.end()
    call = await the_call(cramped)
    recording = await the_recording(cramped, "failed")
    assert (call.outcome, call.reason) == (Outcome.FAILED, "disk_full")
    assert recording.reason == "disk_full"
    assert recording.audio_ms
    assert tone_ms(cramped, recording, CALLER) > 300


def remount(folder: Path, how: str) -> None:
    """Make it read-only or not, for everybody but the PBX, which has a mount of its own."""
    subprocess.run(["mount", "-o", f"remount,bind,{how}", folder], check=True)


async def test_read_only_for_the_listener(cramped: Listener) -> None:
    """Nothing is begun that could not be described."""
    await running(cramped, PLAIN)
    small = cramped.house.dir / "small"
    remount(small, "ro")
    try:
        mark = cramped.house.mark()
        talk = await talk_of(cramped)
        await chat(1.2)
        await talk.end()
        await cramped.until(
            lambda: [row["outcome"] for row in cramped.rows("SELECT * FROM call")] == ["failed"],
            "the row of the failed call",
        )
        assert starts(cramped, mark) == []
        assert failed_calls(cramped) == [("failed", "spool_not_writable")]
        # Who called is in no traceback.
        assert "sidecar_not_written" in cramped.log_text()
        assert NUMBER not in cramped.log_text()
    finally:
        remount(small, "rw")
    again = await recorded_talk(cramped, "302")
    await again.end()
    await cramped.recording("stored")
    cramped.stop()
    shutil.rmtree(cramped.recordings.resolve())
    cramped.recordings.unlink()
    (cramped.house.dir / "small" / cramped.folder.name).mkdir()
