"""`callrec-pbx calls`: which calls were recorded or not, and why."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from callrec_pbx.catalogue import rows
from callrec_pbx.catalogue.rows import RecordingRow
from callrec_pbx.domain.facts import Explanation, Inherited, Step
from callrec_pbx.domain.words import Outcome, Tried
from callrec_pbx.retention.clear import cleared_call
from callrec_pbx.storage.serial import CallSidecar, Tombstone, time_to_text
from callrec_pbx.storage.store import RecordingStore
from tests.catalogue.cli import Commands, configured
from tests.cli.test_recordings import flat
from tests.storage.samples import START, a_call, a_recording, an_id

HOSTILE = "\x1b[31m[bold]\u202e\r\nx"
WHY_NOT = Explanation(
    (
        Step("tenant", Tried.PASSED, "default: recording is on"),
        Step("rule", Tried.NO_MATCH, "[bold]board: line"),
        Step("rule", Tried.NO_MATCH, "no rule matches"),
    ),
    (Inherited("consent", "opt_in", "site Stockholm"),),
)
NOT_RECORDED = a_call(
    2,
    outcome=Outcome.NOT_SELECTED,
    reason="no_rule",
    rule="",
    policy_version="17",
    a_name=HOSTILE,
    a_number="+49[/]2",
    explanation=WHY_NOT,
)
OPEN = a_call(3, outcome=None, reason="", ended_at=None, ddi="")


@pytest.fixture
def callrec(tmp_path: Path, url: str, engine: Engine) -> Commands:
    """A catalogue with a recorded call, one that no rule wanted, and an open one."""
    with engine.begin() as connection:
        rows.write(connection, [CallSidecar(call) for call in (a_call(1), NOT_RECORDED, OPEN)])
        rows.write(connection, [RecordingRow(a_recording(1)), RecordingRow(a_recording(7, OPEN))])
        rows.write(connection, [RecordingRow(a_recording(8, a_call(1)))])
    return configured(tmp_path, url, tmp_path)


def cells(text: str, call_id: str) -> list[str]:
    """The row of the list that is of that call."""
    (line,) = [line for line in text.splitlines() if call_id in line]
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_list_for_people(callrec: Commands) -> None:
    ran = callrec("calls", "list")
    assert ran.status == 0
    started = f"{START.astimezone():%Y-%m-%d %H:%M:%S}"
    assert cells(ran.out, an_id(1, "c")) == [
        *(started, "inbound", "+4930123456", "201", "+49301000 / sales"),
        *("recorded", "rule", "sales", "p1", "2", an_id(1, "c")),
    ]
    assert cells(ran.out, an_id(2, "c")) == [
        *(started, "inbound", "+49[/]2", "201", "+49301000 / sales"),
        *("not_selected", "no_rule", "", "17", "0", an_id(2, "c")),
    ]
    assert cells(ran.out, an_id(3, "c"))[4:6] == ["sales", "open"]


def test_list_for_programs(callrec: Commands) -> None:
    *_, recorded = callrec("calls", "list", "--json").json["calls"]
    assert set(recorded) == {"call", "tombstone", "recording_ids"}
    assert recorded["call"]["started_at"] == time_to_text(START)
    assert not {"legs", "consents"} & set(recorded["call"])
    assert recorded["recording_ids"] == [an_id(1), an_id(8)]


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (["--outcome", "not_selected"], [2]),
        (["--outcome", "not_selected", "--outcome", "recorded"], [2, 1]),
        (["--reason", "no_rule"], [2]),
        (["--direction", "internal"], []),
        (["--direction", "inbound"], [3, 2, 1]),
        (["--number", "+49[/]*"], [2]),
        (["--from", "2026-03-01", "--to", "2026-03-01"], [3, 2, 1]),
        (["--from", "2026-03-01T09:00:01Z"], []),
        (["--to", "2026-02-28"], []),
        (["--limit", "2"], [3, 2]),
    ],
)
def test_list_takes_criteria(callrec: Commands, options: list[str], numbers: list[int]) -> None:
    found = callrec("calls", "list", "--json", *options).json["calls"]
    assert [one["call"]["call_id"] for one in found] == [an_id(number, "c") for number in numbers]


def test_nothing_found_is_no_error(callrec: Commands) -> None:
    ran = callrec("calls", "list", "--reason", "spite")
    assert (ran.status, ran.out.strip()) == (0, "no calls")


def test_show_says_why_a_call_was_not_recorded(callrec: Commands) -> None:
    ran = callrec("calls", "show", an_id(2, "c"))
    assert ran.status == 0
    text = flat(ran.out)
    for part in (
        f"call {an_id(2, 'c')} PBX ids 2.1 started",
        *("tenant default", "DDI +49301000", "queue sales", "transfers blind 202"),
        *("outcome not_selected no_rule", "rule (policy 17)"),
        *("Agent Smith PJSIP/201-00000002", "announce_opt_out", "4000 of 4000 ms"),
        "tenant passed default: recording is on",
        "rule no match [bold]board: line",
        "consent opt_in site Stockholm",
    ):
        assert part in text
    assert "Recording" not in ran.out
    assert "part of" not in ran.out
    for char in "\x1b\u202e\r":
        assert char not in ran.out


def test_show_lists_the_recordings(callrec: Commands) -> None:
    text = flat(callrec("calls", "show", an_id(1, "c")).out)
    assert f"{an_id(1)} 201 stored 0:00:56" in text
    assert an_id(8) in text
    assert an_id(7) not in text
    assert "rule sales (policy p1)" in text


def test_show_for_programs(callrec: Commands, tmp_path: Path) -> None:
    document = callrec("calls", "show", an_id(1, "c"), "--json").json
    assert set(document) == {"call", "tombstone", "recordings"}
    assert document["call"]["legs"][1]["line"] == "201"
    assert document["call"]["explanation"]["settings"][0] == {
        "setting": "consent", "value": "opt_out", "origin": "rule sales",
    }  # fmt: skip
    first, second = document["recordings"]
    assert set(first) == {"recording", "tombstone", "audio", "audio_exists"}
    assert first["audio"] == str(RecordingStore(tmp_path).audio_path(a_recording(1)))
    assert second["recording"]["recording_id"] == an_id(8)


def test_show_of_a_call_that_is_cleared_or_part_of_another(
    callrec: Commands, engine: Engine
) -> None:
    cleared = CallSidecar(cleared_call(NOT_RECORDED), Tombstone(START, "retention", "over"))
    merged = CallSidecar(replace(OPEN, merged_into=an_id(1, "c")))
    with engine.begin() as connection:
        rows.write(connection, [cleared, merged])
    text = flat(callrec("calls", "show", an_id(2, "c")).out)
    assert "by retention: over" in text
    assert "no explanation is kept of this call" in text
    text = flat(callrec("calls", "show", an_id(3, "c")).out)
    assert f"part of {an_id(1, 'c')}" in text
    assert "outcome open" in text
    assert "no explanation" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "--from", "yesterday-ish"], "'yesterday-ish' is not a date"),
        (["list", "--from", "2026-03-02", "--to", "2026-03-01"], "is not after"),
        (["list", "--outcome", "lost"], "'lost' is not one of 'recorded'"),
        (["list", "--direction", "up"], "'up' is not one of 'inbound'"),
        (["list", "--limit", "0"], "--limit: 0: give 1 to"),
        (["show", "zzz"], "call 'zzz': there is none; callrec-pbx calls list shows the ids"),
        (["show", "c0"], "call 'c0': more than one begins so"),
    ],
)
def test_bad_input_is_named(callrec: Commands, arguments: list[str], message: str) -> None:
    ran = callrec("calls", *arguments)
    assert ran.status == 2
    assert message in flat(ran.err)


def test_the_account_points_to_the_list(callrec: Commands) -> None:
    hint = "callrec-pbx calls list --outcome"
    period = ("--from", "2026-03-01", "--to", "2026-03-01")
    assert hint in callrec("account", *period).out
    assert hint not in callrec("account").out
