"""Every command that changes something leaves one line in the audit trail, and no caller in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import typer

from callrec_pbx.catalogue import audit_queries
from callrec_pbx.catalogue.audit_chain import Line
from callrec_pbx.catalogue.engine import reading
from callrec_pbx.catalogue.rows import RECORDING
from callrec_pbx.cli import app
from callrec_pbx.domain.policy import PolicyText
from callrec_pbx.policy import store
from callrec_pbx.policy.acknowledgement import TEXT_VERSION
from tests.catalogue.cli import Commands, configured
from tests.databases import only_sqlite
from tests.evidence.made import Made, made
from tests.rules import rule
from tests.storage.samples import a_call, an_id

NUMBER = "+4915112345678"
NAME = "Mallory Caller"

POLICY = """
[[rule]]
name = "all"
mode = "always"
consent = "announce"
"""

NEEDS_NO_LINE = {
    # Looks at something, or tries something.
    "account", "audit head", "audit list", "audit verify", "calls list", "calls show", "ddi list",
    "ddi show", "department list", "department show", "doctor", "health", "hold list", "hold show",
    "line list", "line show", "people history", "policy check", "policy countries", "policy diff",
    "policy exclude list", "policy explain", "policy history", "policy show", "policy test",
    "profile list", "profile log", "profile show", "prompts check", "prompts list", "queue list",
    "queue show", "recordings list", "recordings show", "retention plans", "retention usage",
    "site list", "site show", "tenant list", "tenant show", "user list", "user show",
    # Writes what is set up, and nothing of a call or a person's.
    "people export", "policy export", "policy init",
    # Makes the trail's own table; there may be no catalogue yet.
    "migrate",
    # Changes what is on the PBX. Which prompt was played is in each consent, with its hash.
    "prompts import", "setup asterisk", "setup freeswitch", "setup systemd",
    # Makes rows out of sidecars, which it does not change.
    "catalogue rebuild",
    # The copy has all lines of the trail, and the anchors fit it.
    "catalogue copy",
    # Goes on with what is to be done anyway.
    "recordings follow-up",
    # Listens; what it does to recordings is in their sidecars, and profile switches are audited.
    "run",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """A command as it is typed.

    Attributes:
        words: How many of its arguments are its name.
        lines: How many it leaves.
        before: Done before it, so that it has something to do.
    """

    arguments: tuple[str, ...]
    words: int = 2
    lines: int = 1
    status: int = 0
    before: Callable[[Made], None] = lambda _here: None

    @property
    def command(self) -> str:
        """Which command it is."""
        return " ".join(self.arguments[: self.words])


def step(line: str, *more: str, words: int = 2, **rest: Any) -> Step:
    """A step; `more` are arguments with spaces."""
    return Step((*line.split(), *more), words, **rest)


def steps(folder: Path) -> Iterator[Step]:
    """Every command that changes something, in an order in which each can."""
    (folder / "policy.toml").write_text(POLICY)
    (folder / "numbers").write_text(f"{NUMBER}\n")
    (folder / "lines.csv").write_text("tenant,extension\ndefault,301\nacme,302\n")
    yield step(f"policy apply {folder}/policy.toml --comment {NUMBER}")
    yield step(f"policy exclude add {NUMBER} --comment", NAME, words=3)
    yield step(f"policy exclude remove {NUMBER}", words=3)
    yield step(f"policy exclude import {folder}/numbers", words=3)
    yield step("policy rollback 0")
    yield step("tenant add acme")
    yield step(f"tenant acknowledge acme --who Berg --text-version {TEXT_VERSION}")
    yield step("tenant recording on acme")
    for kind, key, setting in (
        ("site", "Berlin", ("--language", "de")),
        ("department", "Sales", ("--site", "Berlin")),
        ("user", "anna@example.com", ("--name", "Anna")),
        ("line", "201", ("--user", "anna@example.com")),
        ("ddi", "+49301000", ("--label", "main")),
        ("queue", "sales", ("--department", "Sales")),
    ):
        tenant = () if kind in ("ddi", "queue") else ("--tenant", "acme")
        yield step(f"{kind} add {key} --tenant acme")
        yield step(f"{kind} set {key}", *setting, *tenant)
    yield step("profile add anna@example.com Lunch --tenant acme")
    yield step("profile set anna@example.com Lunch --code 7 --tenant acme")
    yield step("profile switch anna@example.com Lunch --tenant acme")
    yield step("profile remove anna@example.com Lunch --cascade --tenant acme")
    for kind, key in (
        ("queue", "sales"),
        ("ddi", "+49301000"),
        ("line", "201"),
        ("user", "anna@example.com"),
        ("department", "Sales"),
        ("site", "Berlin"),
    ):
        tenant = () if kind in ("ddi", "queue") else ("--tenant", "acme")
        yield step(f"{kind} remove {key}", *tenant)
    yield step("tenant set acme --language de")
    # One line in the trail of each tenant that it is about.
    yield step(f"people import {folder}/lines.csv --kind line", lines=2)
    yield step("tenant remove acme --cascade")
    yield from with_recordings(folder)
    yield step(f"audit export --format csv --output {folder}/trail.csv")
    yield step("audit accept --tenant acme --yes --why", f"{NUMBER} called")
    yield step(f"evidence {a_call(1).call_id}", words=1)


def with_recordings(folder: Path) -> Iterator[Step]:
    """What changes recordings, or takes them along."""
    first = an_id(1)
    yield step(f"recordings download {first} --into {folder}/taken")
    yield step(f"recordings tag {first} --add", NAME)
    yield step(f"recordings flag {first}")
    yield step(f"hold add --recording {an_id(2)} --reason", f"{NUMBER} sues")
    yield step("hold release HOLD --yes --why", f"{NAME} has settled")
    yield step(f"recordings delete {first} --yes --why", "ticket 7")
    yield step(f"recordings undelete {first}")
    # One line for each recording or call: here, each lacks its waveform, and one its row.
    yield step("catalogue check --mend", lines=3, status=3, before=_without_a_row)
    yield step("retention redate --yes", lines=3, before=_another_plan)
    # The number stays in the policy's versions, which it says.
    yield step(f"erase --number {NUMBER} --yes", words=1, lines=7, status=1)
    yield step("retention run", lines=2, before=_another_recording)


def _without_a_row(here: Made) -> None:
    with here.place.engine.begin() as connection:
        connection.execute(RECORDING.delete().where(RECORDING.c.recording_id == an_id(3)))


def _another_recording(here: Made) -> None:
    here.recorded(4)


def _another_plan(here: Made) -> None:
    rules = (rule("sales", retention="60 days"),)
    store.save(here.place.engine, PolicyText(rules=rules), "anna")


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """The names of all commands."""
    if not hasattr(command, "list_commands"):
        yield " ".join(path)
        return
    for name in command.list_commands(None):
        yield from leaves(command.get_command(None, name), (*path, name))


def test_every_command_leaves_a_line_or_needs_none(tmp_path: Path) -> None:
    known = {one.command for one in steps(tmp_path)}
    assert known.isdisjoint(NEEDS_NO_LINE)
    assert set(leaves(typer.main.get_command(app))) == known | NEEDS_NO_LINE


@pytest.fixture
def here(engine: Any, tmp_path: Path) -> Made:
    """Recordings of calls that have a number and a name wherever they may have one."""
    there = made(engine, tmp_path)
    for number in (1, 2, 3):
        call = a_call(number)
        there.recorded(number)
        outside = replace(call.legs[0], number=NUMBER, name=NAME, channel=f"PJSIP/{NUMBER}")
        there.write(
            replace(
                call,
                a_number=NUMBER,
                a_name=NAME,
                b_number=NUMBER,
                c_number=NUMBER,
                ddi=NUMBER,
                legs=(outside, *call.legs[1:]),
                consents=tuple(replace(one, number=NUMBER) for one in call.consents),
                transfers=(f"blind {NUMBER}",),
            )
        )
    return there


def trail(here: Made) -> list[Line]:
    """All lines."""
    with reading(here.place.engine).begin() as connection:
        return list(audit_queries.everything(connection))


@only_sqlite
def test_each_leaves_its_lines_and_no_caller_in_them(
    url: str, here: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "carl")
    callrec: Commands = configured(tmp_path, url, here.place.store.directory)
    for one in steps(tmp_path):
        one.before(here)
        before = len(trail(here))
        holds = [hold.hold_id for hold in here.place.store.holds.active()]
        typed = tuple(holds[0] if word == "HOLD" else word for word in one.arguments)
        ran = callrec(*typed)
        assert ran.status == one.status, (typed, ran.out, ran.err)
        assert len(trail(here)) - before == one.lines, (typed, ran.out)
    written = " ".join(str(line) for line in trail(here))
    for part in (NUMBER[1:], NUMBER[3:], NUMBER[-6:], NAME, NAME.split(maxsplit=1)[0]):
        assert part not in written
    assert "carl" in written
    assert callrec("audit", "verify").status == 0
