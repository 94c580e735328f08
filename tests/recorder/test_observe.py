"""What is counted, what `/healthz` makes of it, and what systemd is told."""

import asyncio
import os
import socket
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge

from callrec_pbx import metrics
from callrec_pbx.domain import events as e
from callrec_pbx.domain.calls import Calls
from callrec_pbx.domain.commands import Command, SaveCall, SaveRecording
from callrec_pbx.domain.facts import CallFacts, Decision, PromptBook
from callrec_pbx.domain.policy import Policy
from callrec_pbx.domain.recording import Recording
from callrec_pbx.domain.words import LegKind, Outcome, RecordingState
from callrec_pbx.recorder import observe
from callrec_pbx.recorder.notify import Notifier
from callrec_pbx.recorder.observe import Counting, Lookout
from callrec_pbx.recorder.observe_health import health
from tests.recorder.fakes import CALL_ID, START, recording, until

NOW = 1_800_000_000.0


def value(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(f"callrec_{name}", labels) or 0.0


def calls() -> Calls:
    return Calls(Policy("1"), PromptBook({}), lambda _: "0" * 26)


def took(counting: Counting, *commands: Command) -> None:
    counting.took(e.TimerFired(START, "x"), list(commands))


def ended(outcome: Outcome, reason: str, call_id: str = CALL_ID, merged: str = "") -> SaveCall:
    facts = CallFacts(call_id, ("1.1",), START, merged_into=merged, outcome=outcome, reason=reason)
    return SaveCall(facts)


def test_an_ended_call_counts_once() -> None:
    before = value("calls_ended_total", outcome="recorded")
    reasons = value("calls_by_reason_total", outcome="recorded", reason="rule")
    counting = Counting(calls())
    took(counting, SaveCall(CallFacts(CALL_ID, ("1.1",), START)))
    took(counting, ended(Outcome.RECORDED, "rule"), ended(Outcome.RECORDED, "rule"))
    took(counting, ended(Outcome.RECORDED, "rule"))
    took(counting, ended(Outcome.RECORDED, "rule", "x", merged=CALL_ID))
    assert value("calls_ended_total", outcome="recorded") == before + 1
    assert value("calls_by_reason_total", outcome="recorded", reason="rule") == reasons + 1


def test_ended_recordings_count_by_what_became_of_them() -> None:
    stored = value("recordings_ended_total", state="stored")
    failed = value("recordings_failed_total", reason="no_audio")
    counting = Counting(calls())
    took(counting, SaveRecording(recording(2, state=RecordingState.CAPTURED)))
    took(counting, *[SaveRecording(recording(2, state=RecordingState.STORED))] * 2)
    lost = recording(3, state=RecordingState.FAILED)
    took(counting, SaveRecording(replace(lost, reason="no_audio")))
    assert value("recordings_ended_total", state="stored") == stored + 1
    assert value("recordings_failed_total", reason="no_audio") == failed + 1


def test_what_cannot_be_counted_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = value("defects_total", where="count")
    monkeypatch.setattr(Counting, "_saved_call", lambda *_: 1 / 0)
    took(Counting(calls()), ended(Outcome.RECORDED, "rule"))
    assert value("defects_total", where="count") == before + 1


def test_what_is_remembered_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe, "ENDED_KEPT", 10)
    counting = Counting(calls())
    for number in range(30):
        took(counting, ended(Outcome.RECORDED, "rule", f"c{number}"))
    assert len(counting._ended) == 10


def test_start_lag() -> None:
    """From the bridge to the PBX's word; a second word of the same start counts no more."""
    all_calls = calls()
    counting = Counting(all_calls)
    who = e.Who(leg="301", channel="PJSIP/301-1", kind=LegKind.LINE, ref="1.1", line="301")
    leg = all_calls.leg_of(who, START)
    leg.recording = Recording(
        "r", "c", "301", "PJSIP/301-1", "301", Decision(Outcome.RECORDED, "rule"), START, START
    )
    before = value("recording_start_lag_seconds_count"), value("recording_start_lag_seconds_sum")
    at = START + timedelta(milliseconds=40)
    leg.recording.started_at = at
    counting.took(e.RecordingStarted(at, "301"), [])
    counting.took(e.RecordingStarted(at + timedelta(seconds=1), "301"), [])
    counting.took(e.RecordingStarted(at, "nobody"), [])
    assert value("recording_start_lag_seconds_count") == before[0] + 1
    assert value("recording_start_lag_seconds_sum") == pytest.approx(before[1] + 0.04)
    assert value("events_total", kind="recording_started") >= 3


def test_labels_are_words_and_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MOST", 3)
    found = [metrics.bounded("t", word) for word in ("a", "b", "c", "d", "a", "+46 70", "x\ny", "")]
    assert found == ["a", "b", "c", "other", "a", "other", "other", "other"]


async def test_the_lookout_shows_where_things_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe, "TICK_S", 0.001)
    alive: list[str] = []
    monkeypatch.setattr(Notifier, "alive", lambda _: alive.append("alive"))
    monkeypatch.setattr(Notifier, "status", lambda _, text: alive.append(text))
    all_calls = calls()
    all_calls.ignored = Counter({"bridged: leg has hung up": 2})
    before = value("events_ignored_total", what="bridged")
    task = asyncio.create_task(Lookout(all_calls, None, Notifier({})).watch())
    await until(lambda: len(alive) >= 4)
    task.cancel()
    assert alive[:3] == ["alive", "0 calls, 0 recordings under way", "alive"]
    assert value("events_ignored_total", what="bridged") == before + 2
    assert value("recordings_active", state="paused") == 0


def made(**values: float) -> CollectorRegistry:
    """A registry that shows a listener in good health, with these values instead."""
    good = {
        "last_tick_timestamp_seconds": NOW,
        "start_timestamp_seconds": NOW - 60,
        "pbx_link_up": 1,
        "catalogue_up": 1,
        "spool_up": 1,
        "spool_free_bytes": 10e9,
        "spool_min_free_bytes": 2e8,
    }
    registry = CollectorRegistry()
    for name, number in {**good, **values}.items():
        Gauge(f"callrec_{name}", name, registry=registry).set(number)
    return registry


@pytest.mark.parametrize(
    ("values", "problems", "warnings"),
    [
        ({}, [], []),
        ({"pbx_link_up": 0}, ["pbx_link_down"], []),
        ({"catalogue_up": 0}, ["database_down"], []),
        ({"spool_up": 0, "spool_free_bytes": 0}, ["spool_not_writable"], []),
        ({"spool_free_bytes": 1e8}, ["spool_full"], []),
        ({"last_tick_timestamp_seconds": NOW - 11}, ["listener_stuck"], []),
        ({"catalogue_backlog_rows": 10_001}, [], ["catalogue_backlog"]),
        ({"follow_up_set_aside_recordings": 1}, [], ["follow_up_set_aside"]),
        ({"start_timestamp_seconds": NOW - 27 * 3600}, [], ["retention_late"]),
        (
            {
                "start_timestamp_seconds": NOW - 90 * 3600,
                "retention_last_run_timestamp_seconds": NOW - 25 * 3600,
            },
            [],
            [],
        ),
        ({"check_open_findings": 2}, [], ["check_found"]),
        ({"prompts_missing": 1}, [], ["prompts_missing"]),
    ],
)
def test_health(values: dict[str, float], problems: list[str], warnings: list[str]) -> None:
    found = health(made(**values), lambda: NOW)
    assert [one["what"] for one in found.document["problems"]] == problems
    assert [one["what"] for one in found.document["warnings"]] == warnings
    assert found.healthy == (not problems)
    assert found.document["status"] == ("unhealthy" if problems else "healthy")


def test_health_of_the_real_registry_has_every_part() -> None:
    document = health().document
    assert {"pbx", "database", "spool", "follow_up", "retention", "check"} <= set(document)


def test_systemd_is_told(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        told = Notifier({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "30000000"})
        told.ready()
        told.alive()
        told.status("2 calls")
        told.stopping()
        said = [manager.recv(100) for _ in range(4)]
        Notifier({"NOTIFY_SOCKET": path}).alive()
        others = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1", "WATCHDOG_PID": str(os.getpid() + 1)}
        Notifier(others).alive()
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.recv(100)
    assert said == [b"READY=1", b"WATCHDOG=1", b"STATUS=2 calls", b"STOPPING=1"]


def test_an_abstract_socket() -> None:
    name = f"callrec-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).ready()
        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize("name", ["", "/nonsense/notify", "/" + "x" * 300])
def test_no_service_manager(name: str) -> None:
    """Nobody there, nobody any more, or an address that is none: nothing comes of it."""
    Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1"}).ready()
