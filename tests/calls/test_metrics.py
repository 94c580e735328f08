"""What monitoring sees of a real call, and of a PBX that is gone."""

import asyncio
import http.client
import json
import re
import socket
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.calls.faults import NUMBER, recorded_talk, running
from tests.calls.listener import Listener

SHOWN_S = 10.0
"""Longest time until a metric shows what is so; the usual one is a second."""


class Watch:
    """Asks as Prometheus does."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.text = ""

    def get(self, path: str) -> tuple[int, str]:
        """Ask once."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    async def value(self, name: str, **labels: str) -> float | None:
        """What a metric shows now; None where it shows nothing."""
        _, self.text = await asyncio.to_thread(self.get, "/metrics")
        for family in text_string_to_metric_families(self.text):
            for sample in family.samples:
                if sample.name == f"callrec_{name}" and sample.labels == labels:
                    return float(sample.value)
        return None

    async def shows(self, wanted: float, name: str, **labels: str) -> None:
        """Wait until a metric shows that."""
        async with asyncio.timeout(SHOWN_S):
            while await self.value(name, **labels) != wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def healthy(self, status: int) -> dict[str, Any]:
        """Wait until `/healthz` answers so, and return what it says."""
        async with asyncio.timeout(SHOWN_S):
            while True:
                found, text = await asyncio.to_thread(self.get, "/healthz")
                if found == status:
                    document: dict[str, Any] = json.loads(text)
                    return document
                await asyncio.sleep(0.1)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def test_a_call_and_a_pbx_that_goes(doomed: Listener) -> None:
    watch = Watch(free_port())
    await running(doomed, metrics=f'listen = "127.0.0.1:{watch.port}"')
    await doomed.until(lambda: "metrics_served" in doomed.log_text(), "metrics_served")
    said = await watch.healthy(200)
    assert (said["problems"], said["pbx"]["up"], said["database"]["up"]) == ([], True, True)
    assert doomed.cli("health").startswith("healthy")

    talk = await recorded_talk(doomed)
    await watch.shows(1, "calls_active")
    await watch.shows(1, "recordings_active", state="recording")
    await talk.end()
    await watch.shows(1, "calls_ended_total", outcome="recorded")
    await watch.shows(1, "calls_by_reason_total", outcome="recorded", reason="rule")
    await watch.shows(0, "calls_ended_total", outcome="missed")
    await watch.shows(1, "recordings_ended_total", state="stored")
    await watch.shows(0, "calls_active")
    await watch.shows(0, "recordings_active", state="recording")
    await watch.shows(1, "recording_start_lag_seconds_count")
    assert await watch.value("recording_start_lag_seconds_bucket", le="2.0") == 1
    await watch.shows(0, "catalogue_backlog_rows")
    assert (await watch.value("catalogue_rows_written_total") or 0) >= 2
    labels = set(re.findall(r'"([^"]*)"', watch.text))
    assert {one for one in labels if re.search(rf"301|{NUMBER[2:]}|PJSIP|sofia", one)} == set()

    doomed.house.kill()
    said = await watch.healthy(503)
    assert [one["what"] for one in said["problems"]] == ["pbx_link_down"]
    document = json.loads(doomed.cli("health", "--json", ok=(1,)))
    assert (document["status"], document["pbx"]["up"]) == ("unhealthy", False)
    await doomed.house.restart()
    await watch.healthy(200)
    assert await watch.value("pbx_links_total") == 2
    doomed.stop()
    assert "metrics_not_served" not in doomed.log_text()
    assert "no answer at" in doomed.cli("health", "--json", ok=(1,))
