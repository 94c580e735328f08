"""`callrec-pbx audit` and `callrec-pbx evidence`, as they are typed."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine

from callrec_pbx.catalogue.audit import Action, Entry, append_all
from callrec_pbx.catalogue.audit_anchor import path_of, read
from tests.bed.asterisk import REPOSITORY
from tests.catalogue.cli import Commands, configured
from tests.catalogue.trail import NOON, allow_everything, anchored, entries
from tests.databases import only_sqlite
from tests.evidence.made import Made, made
from tests.storage.samples import a_call

HOSTILE = "=\x1b[31m[bold]\r\nx"


@pytest.fixture
def here(engine: Engine, tmp_path: Path) -> Made:
    return made(engine, tmp_path)


@pytest.fixture
def callrec(
    tmp_path: Path, url: str, here: Made, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> Commands:
    """A trail of two tenants, in a catalogue with a recorded call."""
    monkeypatch.setenv("SUDO_USER", "carl")
    anchored(engine, here.place.store.directory, ("acme", 3), ("", 1))
    here.recorded()
    return configured(tmp_path, url, here.place.store.directory)


def test_verify_list_head_export_and_accept(
    callrec: Commands, here: Made, engine: Engine, tmp_path: Path
) -> None:
    """The whole of it on both databases."""
    ran = callrec("audit", "verify")
    assert (ran.status, ran.out) == (0, "4 lines: intact\n")
    assert callrec("audit", "verify", "--tenant", "acme", "--json").json == {
        "intact": True, "lines": 3, "findings": [],
    }  # fmt: skip

    listed = callrec("audit", "list", "--subject", "r1", "--tenant", "acme", "--json").json
    assert [(one["seq"], one["detail"]["number"]) for one in listed["lines"]] == [(1, 1)]
    first = callrec("audit", "list", "--limit", "3", "--json").json
    rest = callrec("audit", "list", "--limit", "3", "--after", first["more"], "--json").json
    assert (len(first["lines"]), len(rest["lines"]), rest["more"]) == (3, 1, None)
    assert "more: --after" in callrec("audit", "list", "--limit", "3").out
    assert callrec("audit", "list", "--action", "play").out == "no lines\n"
    assert callrec("audit", "list", "--after", "x").status == 2
    assert callrec("audit", "list", "--from", "2026-03-02", "--to", "2026-03-01").status == 2

    heads = tmp_path / "heads.json"
    heads.write_text(callrec("audit", "head", "--json").out)
    assert callrec("audit", "verify", "--heads", str(heads)).status == 0
    assert "acme" in callrec("audit", "head").out

    file = tmp_path / "trail.jsonl"
    ran = callrec("audit", "export", "--format", "jsonl", "--output", str(file))
    assert ran.out == f"5 lines written to {file}\n"
    exported = json.loads(file.read_text().splitlines()[2])
    assert (exported["action"], exported["actor"]) == ("export", "cli:carl")
    assert callrec("audit", "verify", "--file", str(file)).out == "5 lines: intact\n"
    assert callrec("audit", "verify", "--file", str(file), "--heads", str(heads)).status == 0
    assert callrec("audit", "export", "--format", "csv", "--output", str(file)).status == 2

    with engine.begin() as connection:
        allow_everything(connection)
        connection.exec_driver_sql("DELETE FROM audit WHERE tenant = 'acme' AND seq > 1")
        connection.exec_driver_sql("UPDATE audit SET actor = 'x' WHERE tenant = '' AND seq = 1")
    ran = callrec("audit", "verify")
    assert ran.status == 1
    assert "tenant acme, line 2: is missing: the trail went on to line 3" in ran.out
    assert "the installation's trail, line 1: what it says, or its hash, is not" in ran.out
    path_of(here.place.store.directory, "acme").unlink()
    ran = callrec("audit", "verify", "--heads", str(heads), "--tenant", "acme", "--json")
    assert [one["wrong"] for one in ran.json["findings"]] == ["cut_off", "no_anchor"]

    path_of(here.place.store.directory, "acme").write_text("{")
    assert callrec("audit", "accept", "--tenant", "acme", "--why", " ", "--yes").status == 2
    for misspelt in (
        ("verify",), ("export", "--format", "csv"), ("accept", "--why", "restored", "--yes"),
    ):  # fmt: skip
        ran = callrec("audit", *misspelt, "--tenant", "amce")
        assert (ran.status, "has no trail" in ran.err, ran.out) == (2, True, "")
    assert callrec("audit", "list", "--tenant", "amce").out == "no lines\n"
    assert callrec("audit", "accept", "--tenant", "acme", "--why", "restored").status == 1
    ran = callrec("audit", "accept", "--tenant", "acme", "--why", "restored", "--yes")
    assert ran.out == "line 2 says so; the trail is checked from there on\n"
    assert callrec("audit", "verify", "--tenant", "acme").status == 0


@only_sqlite
def test_an_export_of_a_period_follows_on_what_was_before(
    callrec: Commands, engine: Engine, tmp_path: Path
) -> None:
    with engine.begin() as connection:
        append_all(connection, entries("other", 2), NOON.replace(month=1))
        append_all(connection, entries("other", 2), NOON.replace(month=2))
        append_all(connection, entries("other", 2), NOON)
    period = ("--tenant", "other", "--from", "2026-01-20", "--to", "2026-02-20")
    ran = callrec("audit", "export", "--format", "jsonl", *period)
    rows = [json.loads(row) for row in ran.out.splitlines()]
    assert [row["seq"] for row in rows[1:]] == [3, 4]
    file = tmp_path / "part.jsonl"
    file.write_text(ran.out)
    assert callrec("audit", "verify", "--file", str(file)).status == 0
    file.write_text(ran.out.replace('"actor":"anna', '"actor":"Anna'))
    assert callrec("audit", "verify", "--file", str(file)).status == 1
    file.write_text("nonsense")
    assert callrec("audit", "verify", "--file", str(file)).status == 2
    assert callrec("audit", "verify", "--file", str(tmp_path / "none")).status == 2
    empty = callrec("audit", "export", "--format", "jsonl", *period[:2], "--to", "2025-01-01")
    assert json.loads(empty.out)["trails"] == []


@only_sqlite
def test_what_is_shown_steers_nothing(callrec: Commands, engine: Engine) -> None:
    with engine.begin() as connection:
        append_all(connection, [Entry(HOSTILE, HOSTILE, Action.PLAY, "recording", HOSTILE)])
    for command in (("list",), ("head",), ("verify",)):
        out = callrec("audit", *command).out
        assert "\x1b" not in out, command
        assert "\r" not in out, command
    rows = list(csv.reader(io.StringIO(callrec("audit", "export", "--format", "csv").out)))
    # The runner reads line ends as Python does.
    assert [row[3] for row in rows if row[4] == "play"] == [f"'{HOSTILE}".replace("\r", "")]


@only_sqlite
def test_the_script_in_the_manual_verifies_an_export(
    callrec: Commands, tmp_path: Path, engine: Engine
) -> None:
    """As whoever is given an export would run it."""
    page = (REPOSITORY / "docs" / "audit.md").read_text()
    (script,) = [part for part in page.split("```python\n")[1:] if "callrec-audit-1" in part]
    program = tmp_path / "verify.py"
    program.write_text(script.partition("```")[0])
    assert len(program.read_text().splitlines()) <= 25
    file = tmp_path / "trail.jsonl"
    assert callrec("audit", "export", "--format", "jsonl", "--output", str(file)).status == 0

    def verified() -> tuple[int, str]:
        command = [sys.executable, "-I", str(program), str(file)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return ran.returncode, ran.stdout + ran.stderr

    assert verified() == (0, "5 lines: intact\n")
    rows = file.read_text().splitlines(keepends=True)
    for changed in (
        [rows[0], rows[1].replace('"number":1', '"number":2'), *rows[2:]],
        [rows[0], rows[2], rows[1], *rows[3:]],
        [*rows[:3], *rows[4:]],
        [*rows[:1], *rows[2:]],
        rows[:-1],
    ):
        file.write_text("".join(changed))
        assert verified()[0] == 1, changed


def test_evidence_is_made_and_verified(callrec: Commands, here: Made, tmp_path: Path) -> None:
    call = a_call(1).call_id
    ran = callrec("evidence", call[:26])
    assert ran.status == 0
    assert "the file as it is now has this checksum" in ran.out
    text = tmp_path / "text"
    text.write_text(ran.out)
    ran = callrec("evidence", "--verify", str(text))
    assert ran.status == 0
    assert ran.out.startswith("unchanged\nthe audit trail has it: ")
    for form in ("json", "html"):
        file = tmp_path / f"evidence.{form}"
        assert callrec("evidence", call, "--format", form, "--output", str(file)).status == 0
        ran = callrec("evidence", "--verify", str(file), "--json")
        assert (ran.status, ran.json["unchanged"], ran.json["in_the_trail"]) == (0, True, True)
        file.write_text(file.read_text().replace("announced", "accepted"))
        ran = callrec("evidence", "--verify", str(file))
        assert ran.status == 1
        assert "CHANGED" in ran.out
        assert "NOT IN THE AUDIT TRAIL" in ran.out
    lines = callrec("audit", "list", "--action", "evidence", "--json").json["lines"]
    assert [one["detail"]["format"] for one in lines] == ["html", "json", "text"]
    assert {(one["subject"], one["actor"], one["tenant"]) for one in lines} == {
        (call, "cli:carl", "default")
    }
    assert callrec("audit", "verify").status == 0
    head = read(here.place.store.directory, "default")
    assert head is not None
    assert head.seq == 3


@only_sqlite
def test_who_is_given_evidence_needs_no_catalogue(callrec: Commands, tmp_path: Path) -> None:
    file = tmp_path / "evidence.json"
    callrec("evidence", a_call(1).call_id, "--format", "json", "--output", str(file))
    alone = configured(tmp_path, f"sqlite:///{tmp_path}/none.db", tmp_path)
    ran = alone("evidence", "--verify", str(file))
    assert (ran.status, ran.out) == (
        0,
        "unchanged\nnot compared with an audit trail: there is no catalogue here\n",
    )


@only_sqlite
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "is missing; give the id of a call"),
        (("nonsense",), "there is none"),
        (("c1", "--verify", "x"), "give a call or --verify, not both"),
        (("--verify", "/nonexistent/x"), "No such file"),
        (("--verify", "/dev/null"), "does not end with the checksum"),
        (("c0", "--output", "/nonexistent/x"), "No such file"),
    ],
)
def test_what_is_wrong_changes_nothing(
    callrec: Commands, arguments: tuple[str, ...], message: str
) -> None:
    ran = callrec("evidence", *arguments)
    assert ran.status == 2
    assert message in " ".join(ran.err.replace("│", " ").split())
    assert callrec("audit", "list", "--action", "evidence").out == "no lines\n"
