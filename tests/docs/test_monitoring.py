"""The manual, the alert rules and the dashboard speak of the metrics that there are."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any

import pytest
import yaml

from callrec_pbx import metrics
from callrec_pbx.recorder.observe_health import PROBLEMS, WARNINGS
from tests.bed.asterisk import REPOSITORY
from tests.docs.test_commands import wrong

DOCS = REPOSITORY / "docs"
NAME = re.compile(r"\bcallrec_[a-z0-9_]+\b")


def families() -> dict[str, Any]:
    """Every metric by the name that the manual gives it."""
    return {
        family.name + ("_total" if family.type == "counter" else ""): family
        for family in metrics.REGISTRY.collect()
    }


def series() -> set[str]:
    """Every name that a query can ask for."""
    found = set()
    for name, family in families().items():
        suffixes = ("_bucket", "_count", "_sum") if family.type == "histogram" else ("",)
        found |= {name + suffix for suffix in suffixes}
    return found


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((DOCS / "alerts.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DOCS / "grafana" / "callrec-pbx.json").read_text())
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def test_names_carry_prefix_and_unit() -> None:
    """Seconds and bytes, as Prometheus has them; what is counted otherwise says what it is."""
    for name, family in families().items():
        assert name.startswith("callrec_")
        assert family.documentation.endswith(".")
        assert not re.search(r"_(ms|milliseconds|mb|kb|minutes|hours)(_|$)", name)


def test_the_manual_has_every_metric_and_no_other() -> None:
    text = (DOCS / "monitoring.md").read_text()
    rows = dict(re.findall(r"^\| `(callrec_\w+)` \| (\w+) \|", text, re.MULTILINE))
    assert rows == {name: family.type for name, family in families().items()}


def test_the_manual_has_every_problem_and_warning() -> None:
    text = (DOCS / "monitoring.md").read_text()
    before, _, after = text.partition("| warning |")
    for part, wanted in ((before, PROBLEMS), (after.partition("\n\n")[0], WARNINGS)):
        assert re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE) == [one.what for _, one in wanted]


def scripts() -> set[str]:
    """FreeSWITCH's scripts and variables, whose names look like those of metrics."""
    files = list((REPOSITORY / "dialplan" / "freeswitch").glob("*"))
    return {name for file in files for name in NAME.findall(file.name + file.read_text())}


def test_the_other_pages_name_metrics_that_exist() -> None:
    for page in [*DOCS.glob("*.md"), DOCS / "alerts.yml"]:
        unknown = set(NAME.findall(page.read_text())) - series() - set(families()) - scripts()
        assert {name for name in unknown if name != "callrec_pbx"} == set(), page


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_asks_for_what_there_is_and_says_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"Callrec[A-Za-z]+", rule["alert"])
    assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))
    assert rule["labels"]["severity"] in ("critical", "warning")
    asked = set(NAME.findall(rule["expr"]))
    assert asked <= series()
    assert asked or "up{" in rule["expr"]
    assert rule["expr"].count("(") == rule["expr"].count(")")
    said = rule["annotations"]
    assert set(said) == {"summary", "description"}
    for command in re.findall(r"`callrec-pbx ([^`]+)`", said["description"]):
        assert wrong(command) == ""


def test_alerts_have_names_of_their_own() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names)) > 15


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: str(panel["title"]))
def test_a_panel_asks_for_what_there_is(panel: dict[str, Any]) -> None:
    assert {"id", "type", "title", "datasource", "gridPos", "targets", "fieldConfig"} <= set(panel)
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert [target["refId"] for target in panel["targets"]] == list(
        "ABCDEF"[: len(panel["targets"])]
    )
    for target in panel["targets"]:
        asked = set(NAME.findall(target["expr"]))
        assert asked
        assert asked <= series()
        assert target["expr"].count("(") == target["expr"].count(")")
        assert 'instance=~"$instance"' in target["expr"]


def test_the_dashboard_can_be_imported() -> None:
    document = dashboard()
    assert document["schemaVersion"] >= 36
    assert document["uid"] == "callrec-pbx"
    assert {one["name"] for one in document["templating"]["list"]} == {"datasource", "instance"}
    everything = document["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    places = [panel["gridPos"] for panel in everything]
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)


def test_the_dashboard_shows_most_of_what_there_is() -> None:
    shown = set(NAME.findall(json.dumps(dashboard()))) | set(
        NAME.findall((DOCS / "alerts.yml").read_text())
    )
    seldom = {
        "callrec_start_timestamp_seconds", "callrec_pbx_last_heartbeat_timestamp_seconds",
        "callrec_pbx_events_unused_total", "callrec_events_ignored_total",
        "callrec_follow_up_failed_total", "callrec_follow_up_set_aside_total",
        "callrec_check_last_run_timestamp_seconds", "callrec_reconcile_found_total",
        "callrec_reconcile_mended_total",
    }  # fmt: skip
    bases = {re.sub(r"_(bucket|count|sum)$", "", name) for name in shown}
    assert set(families()) - bases - shown <= seldom
