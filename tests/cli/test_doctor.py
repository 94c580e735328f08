"""`callrec-pbx doctor` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from callrec_pbx.doctor.finding import Finding, fail, ok, warn
from tests.cli.test_root import Run, run

__all__ = ["run"]


@pytest.mark.parametrize(
    ("findings", "status"),
    [
        ([ok("a", "fine")], 0),
        ([ok("a", "fine"), warn("b", "so so", "do x")], 0),
        ([ok("a", "fine"), fail("b", "bad", "do x")], 1),
    ],
)
def test_status_and_forms(
    run: Run, monkeypatch: pytest.MonkeyPatch, findings: list[Finding], status: int
) -> None:
    async def examine(_: Path | None) -> list[Finding]:
        return findings

    monkeypatch.setattr("callrec_pbx.cli.doctor.examine", examine)
    found, out, _ = run("doctor", "--json")
    assert found == status
    document = json.loads(out)
    assert document["ok"] is (status == 0)
    assert document["checks"][0] == {"name": "a", "status": "ok", "seen": "fine", "remedy": ""}
    found, out, _ = run("doctor")
    assert found == status
    assert "ok    a  fine" in out
    assert ("-> do x" in out) is (len(findings) > 1)


def test_a_bad_configuration_is_a_finding(run: Run, tmp_path: Path) -> None:
    status, out, _ = run("--config", str(tmp_path / "none.toml"), "doctor")
    assert status == 1
    assert "fail  config" in out
