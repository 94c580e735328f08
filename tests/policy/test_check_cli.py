"""`callrec-pbx policy check` and `policy countries`."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.catalogue.cli import Commands, configured
from tests.databases import only_sqlite

pytestmark = only_sqlite  # the SQL is that of tests that run in both


POLICY = """
[[rule]]
name = "hotline"
mode = "always"
consent = "announce"

[[rule]]
name = "never"
mode = "never"
queue = ["support"]
"""


@pytest.fixture
def run(tmp_path: Path, url: str, engine: Engine) -> Commands:
    (tmp_path / "recordings").mkdir()
    (tmp_path / "policy.toml").write_text(POLICY)
    return configured(tmp_path, url, tmp_path / "recordings")


def policy(run: Commands) -> str:
    return str(run.config.parent / "policy.toml")


def test_the_command(run: Commands) -> None:
    assert run("tenant", "set", "default", "--country", "SE", "--author", "test").status == 0
    assert run("policy", "check").status == 0
    given = run("policy", "check", "--file", policy(run), "--country", "de,NO", "--json")
    assert given.status == 1
    assert "not legal advice" in given.json["disclaimer"]
    assert [(one["kind"], one["rule"]) for one in given.json["warnings"]] == [
        ("weaker_than_expected", "hotline"),
        ("never_matches", "never"),
        ("unknown_name", "never"),
    ]
    told = run("policy", "check", "--file", policy(run), "--country", "DE")
    assert told.status == 1
    assert "serious: rule hotline: consent announce" in told.out
    assert "not legal advice" in told.out


def test_hints_alone_are_status_0(run: Commands) -> None:
    run("tenant", "set", "default", "--country", "SE", "--author", "test")
    (run.config.parent / "policy.toml").write_text(
        '[[rule]]\nname = "off"\nmode = "always"\nconsent = "none"\nenabled = false\n'
    )
    given = run("policy", "check", "--file", policy(run))
    assert given.status == 0
    assert "hint: rule off" in given.out


@pytest.mark.parametrize("country", ["Germany", "D", "DE;DK", "\x1b[31m"])
def test_a_country_that_is_no_code_is_refused(run: Commands, country: str) -> None:
    given = run("policy", "check", "--country", country)
    assert given.status == 2
    assert "\x1b[31m" not in given.err
    assert "--country" in given.err


def test_the_table_of_countries(run: Commands) -> None:
    every = run("policy", "countries", "--json").json
    assert "not legal advice" in every["disclaimer"]
    assert {"DE", "US-CA"} <= {entry["code"] for entry in every["countries"]}
    shown = run("policy", "countries")
    assert shown.status == 0
    assert "Sweden" in shown.out
    assert "not legal advice" in shown.out
    one = run("policy", "countries", "de")
    assert "StGB § 201" in one.out
    assert "2025-06-01" in one.out
    assert "not legal advice" in one.out
    (entry,) = run("policy", "countries", "US-WA", "--json").json["countries"]
    assert entry["weakest"] == "announce"
    for code, remedy in (("JP", "shows all"), ("US-TX", "see US")):
        refused = run("policy", "countries", code)
        assert refused.status == 2
        assert remedy in " ".join(refused.err.replace("│", " ").split())
