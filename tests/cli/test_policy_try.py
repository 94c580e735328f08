"""`callrec-pbx policy explain` and `policy test`."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from callrec_pbx.domain.words import Switch
from callrec_pbx.people.rows import TENANT
from tests.catalogue.cli import Commands, configured
from tests.policy.house import furnish

POLICY = """
excluded_numbers = ["070-123 45 67"]
[[tenant]]
consent = "announce"
retention = "30 days"
[[site]]
name = "Berlin"
consent = "none"
[[rule]]
name = "old"
valid_to = 2020-12-31
mode = "never"
[[rule]]
name = "off"
enabled = false
mode = "never"
[[rule]]
name = "board"
line = ["399", "398"]
mode = "never"
[[rule]]
name = "night"
mode = "never"
[[rule.when]]
days = "mon-fri"
from = "20:00"
to = "06:00"
[[rule]]
name = "rest"
mode = "always"
[[rule]]
name = "never reached"
mode = "never"
"""
AT = ("--at", "2026-03-02T10:00")


@pytest.fixture
def callrec(tmp_path: Path, url: str, engine: Engine) -> Commands:
    furnish(engine)
    commands = configured(tmp_path, url, tmp_path)
    file = tmp_path / "policy.toml"
    file.write_text(POLICY)
    assert commands("policy", "apply", str(file)).status == 0
    return commands


def flat(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


def test_every_step_is_told(callrec: Commands) -> None:
    ran = callrec("policy", "explain", "--from", "+4981", "--to", "302", *AT)
    assert ran.status == 0
    text = flat(ran.out)
    for part in (
        "direction inbound line 302 trunk not known (--trunk) outcome recorded (rule)",
        "rule rest mode always consent none",
        "retention 30 days tenant default site Berlin user bernd@example.org",
        "tenant passed default: recording is on",
        "excluded passed no outside number is excluded",
        "rule no match old: counted before 2021-01-01T00:00:00+00:00",
        "rule no match off: is switched off",
        "rule no match board: line is not 399 | 398",
        "rule no match night: when is not mon-fri 20:00-06:00",
        "rule matched rest",
        "rule not tried 1 after that one",
        "limit possible at most 2 at the same time",
        "consent none site Berlin",
        "retention 30 days tenant default",
        "whisper true built in",
        "other party DE Germany",
        "user DE Germany",
        "warning: consent none is less than Germany expects",
        "not legal advice",
    ):
        assert part in text


def test_what_is_kept_for_ever_is_called_so(callrec: Commands, tmp_path: Path) -> None:
    """Above and among the settings; programs get what is stored."""
    other = tmp_path / "other.toml"
    other.write_text(POLICY.replace('"30 days"', '"unlimited"'))
    explain = ("policy", "explain", "--line", "301", *AT, "--file", str(other))
    text = flat(callrec(*explain).out)
    assert "retention unlimited" in text
    assert "retention unlimited tenant default" in text
    assert "reminder_s 0 built in" in text
    assert {
        "setting": "retention", "value": "unlimited", "origin": "tenant default",
    } in callrec(*explain, "--json").json["settings"]  # fmt: skip


def test_for_programs(callrec: Commands) -> None:
    ran = callrec(
        "policy", "explain", "--from", "+4981", "--user", "bernd@example.org", *AT, "--json"
    )
    document = ran.json
    assert document["call"] == {
        "direction": "inbound",
        "line": "bernd-desk",
        "ddi": "",
        "queue": "",
        "numbers": ["+4981"],
        "trunk": None,
        "at": "2026-03-02T10:00:00+01:00",
    }
    decision = document["decision"]
    assert (decision["outcome"], decision["rule"], decision["consent"]) == (
        "recorded", "rest", "none",
    )  # fmt: skip
    assert document["steps"][-2]["detail"] == "rest"
    assert document["rules_not_tried"] == 1
    assert {"setting": "consent", "value": "none", "origin": "site Berlin"} in document["settings"]
    assert [party["country"] for party in document["countries"]] == ["DE", "DE"]
    assert document["falls_short"] is True


@pytest.mark.parametrize(
    ("options", "outcome", "reason"),
    [
        (["--from", "+46701234567"], "excluded", "excluded_number"),
        (["--from", "+4681", "--declined"], "declined", "declined"),
        (["--from", "301", "--to", "+4681", "--profile", "Abroad"], "not_selected", "profile"),
        (["--line", "301", "--running", "2"], "limited", "concurrent_limit"),
        (["--line", "301", "--running", "1"], "recorded", "rule"),
        (["--line", "399"], "not_selected", "rule"),
        (["--line", "301", "--at", "2026-03-02T22:00"], "not_selected", "rule"),
        (["--line", "301", "--at", "2026-03-02T22:00+05:00"], "recorded", "rule"),
        (["--line", "301", "--version", "0"], "not_selected", "no_rule"),
    ],
)
def test_what_stands_above_and_in_the_rules(
    callrec: Commands, options: list[str], outcome: str, reason: str
) -> None:
    at = () if "--at" in options else AT
    decision = callrec("policy", "explain", *options, *at, "--json").json["decision"]
    assert (decision["outcome"], decision["reason"]) == (outcome, reason)


def test_a_file_may_be_tried_before_it_is_applied(callrec: Commands, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(POLICY.replace('mode = "always"', 'mode = "on_demand"'))
    explain = ("policy", "explain", "--line", "301", *AT, "--json")
    assert callrec(*explain, "--file", str(other)).json["decision"]["mode"] == "on_demand"
    assert callrec(*explain).json["decision"]["mode"] == "always"
    assert callrec(*explain, "--file", str(other)).json["decision"]["policy_version"] == str(other)
    ran = callrec(*explain, "--file", str(other), "--version", "1")
    assert ran.status == 2
    assert "not both" in ran.err


def test_as_if_recording_were_on(callrec: Commands, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(update(TENANT).values(recording=Switch.OFF_NEW))
    explain = ("policy", "explain", "--line", "301", *AT, "--json")
    assert callrec(*explain).json["decision"]["reason"] == "recording_off"
    assert callrec(*explain, "--as-if-on").json["decision"]["outcome"] == "recorded"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--at", "0001-01-01T00:10"], '--at: "0001-01-01T00:10" is not in the years 1970'),
        (["--at", "9999-12-31T23:59:59Z"], "is not in the years 1970 to 2999; give a time"),
        (["--at", "noon"], '--at: "noon" is not a time; give one such as'),
        (["--user", "x@example.org"], "user 'x@example.org': there is none"),
        (["--running", "-1"], "--running: -1"),
        (["--direction", "in"], "in"),
        (["--profile", "x"], "profile 'x': is none of nobody"),
    ],
)
def test_bad_input_is_named(callrec: Commands, options: list[str], message: str) -> None:
    ran = callrec("policy", "explain", *options)
    assert ran.status == 2
    assert message in flat(ran.err)


def test_what_is_not_known_of_the_call_is_told(callrec: Commands) -> None:
    ran = callrec("policy", "explain", "--from", "+4981", "--to", "399", *AT)
    text = flat(ran.out)
    assert "note: 399 is no line in people and places: it is taken for a direct number" in text
    assert "board: who answers is not known" in text
    assert "note: the trunk is not known" in text
    explain = ("policy", "explain", "--from", "+4981", "--to", "302", *AT, "--trunk", "a", "--json")
    assert callrec(*explain).json["remarks"] == []


def test_nothing_from_a_policy_steers_the_terminal(callrec: Commands, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(POLICY.replace('name = "rest"', 'name = "[bold]rest"'))
    assert "[bold]rest" in callrec("policy", "explain", *AT, "--file", str(other)).out


CASES = """
[[case]]
name = "calls are recorded"
line = "301"
at = 2026-03-02T10:00:00
expect = { outcome = "recorded", consent = "announce", retention = "30 days" }

[[case]]
name = "but not at night"
line = "301"
at = 2026-03-02T23:00:00
expect = { outcome = "not_selected", rule = "night" }
"""


def test_cases_that_are_as_expected(callrec: Commands, tmp_path: Path) -> None:
    file = tmp_path / "cases.toml"
    file.write_text(CASES)
    ran = callrec("policy", "test", str(file))
    assert ran.status == 0
    assert "calls are recorded passed recorded rest" in flat(ran.out)
    assert "2 of 2 cases passed" in ran.out
    document = callrec("policy", "test", str(file), "--json").json
    assert (document["failed"], [case["passed"] for case in document["cases"]]) == (0, [True, True])


def test_a_case_that_is_not_is_explained(callrec: Commands, tmp_path: Path) -> None:
    cases, other = tmp_path / "cases.toml", tmp_path / "other.toml"
    cases.write_text(CASES)
    other.write_text(POLICY.replace('from = "20:00"', 'from = "23:30"'))
    ran = callrec("policy", "test", str(cases), "--file", str(other))
    assert ran.status == 1
    text = flat(ran.out)
    for part in (
        "but not at night failed recorded rest outcome not_selected outcome recorded",
        "rule night rule rest",
        "but not at night: recorded (rule)",
        "rule no match night: when is not mon-fri 23:30-06:00",
        "1 of 2 cases passed",
    ):
        assert part in text
    ran = callrec("policy", "test", str(cases), "--file", str(other), "--json")
    assert ran.status == 1
    assert ran.json["failed"] == 1
    assert ran.json["cases"][1]["differences"] == [
        {"field": "outcome", "expected": "not_selected", "got": "recorded"},
        {"field": "rule", "expected": "night", "got": "rest"},
    ]


def test_a_bad_file_of_cases(callrec: Commands, tmp_path: Path) -> None:
    file = tmp_path / "cases.toml"
    file.write_text("[[case]]\nname = 'a'\n")
    ran = callrec("policy", "test", str(file))
    assert ran.status == 2
    assert 'case 1 "a" expect: is missing' in ran.err
