"""The manual's page of the policy: it names everything, and its examples do what it says."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any

import pytest
import typer

from callrec_pbx.cli import policy as commands
from callrec_pbx.config import parse_config
from callrec_pbx.domain.people import (
    Ddi,
    Department,
    Line,
    People,
    Profile,
    Queue,
    Site,
    Tenant,
    User,
)
from callrec_pbx.domain.policy.settings import BUILT_IN, names
from callrec_pbx.domain.words import (
    Channels,
    ConsentMode,
    Device,
    Direction,
    Mode,
    Notice,
    OnHoliday,
    OnTrouble,
    Switch,
)
from callrec_pbx.policy.cases import CallPart, ExpectPart, parse_cases, run
from callrec_pbx.policy.document import (
    CRITERIA,
    HolidayPart,
    PlacePart,
    RulePart,
    WindowPart,
    parse,
)
from callrec_pbx.policy.load import compiled
from callrec_pbx.policy.references import Known, resolve
from callrec_pbx.policy.values import DAYS
from tests.bed.asterisk import REPOSITORY

PAGE = (REPOSITORY / "docs" / "policy.md").read_text()
COMMANDS = (REPOSITORY / "docs" / "commands.md").read_text()
SYSTEMS = ("telavox", "3vaxel", "matelso", "webex")


def blocks(text: str) -> list[str]:
    """What is indented, and so is code."""
    found = re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, re.MULTILINE)
    return [re.sub("^    ", "", block, flags=re.MULTILINE).strip() for block in found]


EXAMPLES = PAGE.split("## Worked examples")[1].split("### ")[1:]
WORKED = {system: blocks(example)[-1] for system, example in zip(SYSTEMS, EXAMPLES, strict=True)}

PEOPLE = People.of(
    tenants=[Tenant("default", Switch.ON, user_switch=False, country="SE", language="sv")],
    sites=[Site("default", "Stockholm"), Site("default", "Berlin", country="DE", language="de")],
    departments=[
        Department("default", name) for name in ("Sales", "Development", "Trading", "Support")
    ],
    users=[
        User("default", "anna@example.org", department="Sales"),
        User("default", "bernd@example.org", department="Trading", site="Berlin", recording=False),
        User("default", "carl@example.org", department="Development"),
        User("default", "doris@example.org", department="Support", site="Berlin"),
        User("default", "erik@example.org", department="Trading"),
    ],
    profiles=[Profile("default", "anna@example.org", "Abroad", record_direct=False, code="3")],
    lines=[
        Line("default", "301", user="anna@example.org"),
        Line("default", "391", user="anna@example.org", device=Device.MOBILE),
        Line("default", "302", user="bernd@example.org"),
        Line("default", "303", user="carl@example.org"),
        Line("default", "304", user="doris@example.org"),
        Line("default", "305", user="erik@example.org"),
    ],
    ddis=[Ddi("default", "+46812300"), Ddi("default", "+46812301")],
    queues=[Queue("default", name) for name in ("personnel", "orders", "support")],
)
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)

TELAVOX = """
[[case]]
name = "with the add-on"
from = "+4670"
to = "301"
expect = { outcome = "recorded", mode = "always", consent = "announce", retention = "90 days" }
[[case]]
name = "outbound nobody is told"
from = "301"
to = "+46701234567"
expect = { outcome = "recorded", consent = "none", rule = "whoever has the add-on" }
[[case]]
name = "without the add-on"
from = "+4670"
to = "302"
expect = { outcome = "not_selected", reason = "user_off" }
[[case]]
name = "abroad, called directly"
from = "+4670"
to = "301"
profile = "Abroad"
expect = { outcome = "not_selected", reason = "profile" }
[[case]]
name = "abroad, called through a queue"
from = "+4670"
line = "301"
queue = "support"
profile = "Abroad"
expect = { outcome = "recorded", rule = "whoever has the add-on" }
[[case]]
name = "abroad, on the own mobile, through a queue"
from = "+4670"
line = "391"
queue = "support"
profile = "Abroad"
expect = { outcome = "not_selected", rule = "own mobile abroad" }
[[case]]
name = "own mobile at home"
from = "+4670"
line = "391"
expect = { outcome = "recorded" }
[[case]]
name = "colleagues"
from = "301"
to = "303"
expect = { outcome = "not_selected", reason = "no_rule" }
"""

VAXEL = """
[[case]]
name = "excluded"
from = "08-123 45 67"
to = "301"
expect = { outcome = "excluded" }
[[case]]
name = "excluded range"
from = "301"
to = "0046876512"
expect = { outcome = "excluded" }
[[case]]
name = "group never"
from = "+4670"
queue = "personnel"
expect = { outcome = "not_selected", rule = "group never" }
[[case]]
name = "group always"
from = "+4670"
queue = "orders"
expect = { outcome = "recorded", consent = "announce", rule = "group always" }
[[case]]
name = "group with consent"
from = "+4670"
queue = "support"
expect = { outcome = "recorded", consent = "opt_in" }
[[case]]
name = "who said no in the menu"
from = "+4670"
queue = "support"
declined = true
expect = { outcome = "declined" }
[[case]]
name = "direct number, whoever answers"
from = "+4670"
ddi = "+46812301"
line = "303"
expect = { outcome = "recorded", rule = "direct numbers" }
[[case]]
name = "sales are called"
from = "+4670"
to = "301"
expect = { outcome = "recorded", rule = "sales", department = "Sales" }
[[case]]
name = "sales call"
from = "301"
to = "+4670"
expect = { outcome = "recorded", rule = "sales" }
[[case]]
name = "development is called"
from = "+4670"
to = "303"
expect = { outcome = "not_selected", reason = "no_rule" }
[[case]]
name = "development calls"
from = "303"
to = "+4670"
expect = { outcome = "recorded", rule = "development" }
"""

MATELSO = """
[[case]]
name = "north"
from = "+4970"
ddi = "+49401234"
expect.outcome = "recorded"
expect.consent = "opt_out"
expect.whisper = true
expect.announcement = "north"
expect.retention = "30 days"
expect.rule = "campaign north"
[[case]]
name = "south"
from = "+4970"
ddi = "+49891234"
expect = { announcement = "south", retention = "14 days", rule = "campaign south" }
[[case]]
name = "another number"
from = "+4970"
ddi = "+49301"
expect = { outcome = "not_selected", reason = "no_rule" }
"""

WEBEX = """
[[case]]
name = "never"
from = "+4670"
to = "301"
expect = { outcome = "not_selected", rule = "board", mode = "never" }
[[case]]
name = "always"
from = "+4670"
to = "305"
expect.mode = "always"
expect.channels = "stereo"
expect.voicemail = true
expect.retention = "5 years"
expect.consent = "announce"
expect.on_failure = "continue"
expect.start_stop = "announcement"
[[case]]
name = "always with pause and resume, overridden by the location"
from = "+4670"
to = "304"
expect.mode = "always_pausable"
expect.resume_after_s = 120
expect.consent = "opt_in"
expect.language = "de"
expect.on_failure = "hang_up"
expect.notice = "announcement"
expect.reminder_s = 30
expect.site = "Berlin"
[[case]]
name = "on demand"
from = "+4670"
to = "303"
expect = { mode = "on_demand", on_failure = "continue", notice = "beep", language = "sv" }
"""


@pytest.mark.parametrize(
    ("system", "cases", "user_switch"),
    [
        ("telavox", TELAVOX, True),
        ("3vaxel", VAXEL, False),
        ("matelso", MATELSO, False),
        ("webex", WEBEX, False),
    ],
)
def test_the_worked_examples_do_what_they_say(system: str, cases: str, user_switch: bool) -> None:
    tenant = replace(PEOPLE.tenants["default"], user_switch=user_switch)
    people = replace(PEOPLE, tenants={"default": tenant})
    resolved = resolve(parse(WORKED[system], system), Known(people), system)
    policy = compiled(system, resolved.text, people, BUILT_IN, date(2026, 3, 2))
    for one in run(policy, parse_cases(cases, system), NOW):
        assert one.differences == (), (one.case.name, one.decision)


def test_with_everything_off_nothing_is_recorded() -> None:
    off = replace(PEOPLE.tenants["default"], recording=Switch.OFF_NOW)
    people = replace(PEOPLE, tenants={"default": off})
    text = resolve(parse(WORKED["3vaxel"], "x"), Known(people), "x").text
    policy = compiled("x", text, people, BUILT_IN, NOW.date())
    for one in run(policy, parse_cases(VAXEL, "x"), NOW):
        assert one.decision.reason == "recording_off"


def test_every_example_is_toml_that_can_be_used() -> None:
    found = [block for block in blocks(PAGE) if block.startswith(("[[", "excluded_numbers"))]
    policies = [block for block in found if "[[case]]" not in block]
    (cases,) = [block for block in found if "[[case]]" in block]
    assert len(policies) >= 8
    for policy in policies:
        parse(policy, "docs/policy.md")
    assert len(parse_cases(cases, "docs/policy.md")) == 2


def mentioned(words: Any) -> list[str]:
    return [word for word in words if f"`{word}`" not in PAGE]


def test_every_setting_and_criterion_is_in_the_manual() -> None:
    assert mentioned(names()) == []
    assert mentioned(CRITERIA) == []
    assert mentioned(RulePart.model_fields.keys() - {"when"}) == []
    assert mentioned((field.alias or name) for name, field in WindowPart.model_fields.items()) == []
    assert mentioned(DAYS) == []
    assert mentioned((field.alias or name) for name, field in CallPart.model_fields.items()) == []
    assert mentioned(ExpectPart.model_fields) == []
    for name in (*HolidayPart.model_fields, *PlacePart.model_fields):
        assert name in PAGE


@pytest.mark.parametrize(
    "words", [Mode, ConsentMode, OnTrouble, Notice, Channels, Device, Direction, OnHoliday]
)
def test_every_word_is_in_the_manual(words: type[StrEnum]) -> None:
    assert mentioned(word.value for word in words) == []


def test_every_command_and_option_is_in_the_manual() -> None:
    root = typer.main.get_command(commands.app)
    rows = {line.split("|")[1]: line for line in COMMANDS.splitlines() if line.startswith("|")}
    for path, command in every_command(root, "policy"):
        row = next((row for names, row in rows.items() if f"`callrec-pbx {path}" in names), None)
        assert row is not None, path
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--") and option != "--help":
                    assert f"`{option}`" in row, (path, option)


def every_command(group: Any, path: str) -> list[tuple[str, Any]]:
    found = []
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found += every_command(command, f"{path} {name}")
        else:
            found.append((f"{path} {name}", command))
    return found


def test_what_the_containers_begin_with_can_be_used() -> None:
    docker = REPOSITORY / "docker"
    text = parse((docker / "policy.toml").read_text(), "policy.toml")
    people = People.of(tenants=[Tenant("default")])
    assert resolve(text, Known(people), "policy.toml").warnings == ()
    assert "./policy.toml:/etc/callrec-pbx/policy.toml:ro" in (docker / "compose.yaml").read_text()
    assert "policy apply --if-none" in (docker / "start-listener").read_text()
    assert parse_config((docker / "callrec.toml").read_text(), docker / "callrec.toml")
