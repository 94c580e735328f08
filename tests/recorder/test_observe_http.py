"""Metrics and health over real HTTP, asked well and badly."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from callrec_pbx.recorder import observe_http
from callrec_pbx.recorder.observe_health import Complaint, Health
from callrec_pbx.recorder.observe_http import MetricsServer

WELL = Health((), (), {"status": "healthy"})
ILL = Health((Complaint("pbx_link_down", "see"),), (), {"status": "unhealthy"})


class Patient:
    """A listener's health, as a test wants it."""

    def __init__(self) -> None:
        self.health = WELL

    def ask(self) -> Health:
        return self.health


@contextmanager
def served(patient: Patient, host: str = "127.0.0.1") -> Iterator[MetricsServer]:
    """A server on a port of its own."""
    registry = CollectorRegistry()
    ended = Counter("callrec_calls_ended", "Calls.", ["outcome"], registry=registry)
    ended.labels("recorded").inc()
    server = MetricsServer(f"{host}:{free_port(host)}", registry, patient.ask)
    server.start()
    try:
        assert server.bound.wait(10)
        yield server
    finally:
        server.stop()


def free_port(host: str = "127.0.0.1") -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host.strip("[]"), 0), family=family) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture(autouse=True)
def _ends_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe_http.Server, "timeout", 0.02)


@pytest.fixture
def patient() -> Patient:
    return Patient()


@pytest.fixture
def server(patient: Patient) -> Iterator[MetricsServer]:
    with served(patient) as found:
        yield found


def ask(
    server: MetricsServer, path: str, method: str = "GET", body: str | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """One request, and what came of it."""
    host, port = server.address[:2]
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def raw(server: MetricsServer, sent: bytes) -> bytes:
    """Send bytes, and read what is answered until the end."""
    with socket.create_connection(server.address[:2], timeout=10) as client:
        with suppress(OSError):  # it may have hung up already
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(4096), b""))


def test_metrics_as_text_and_as_open_metrics(server: MetricsServer) -> None:
    status, headers, body = ask(server, "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=")
    assert b'callrec_calls_ended_total{outcome="recorded"} 1.0' in body
    accept = "application/openmetrics-text; version=1.0.0"
    _, headers, body = ask(server, "/metrics?x=1", Accept=accept)
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    families = text_string_to_metric_families(body.decode())  # type: ignore[no-untyped-call]
    assert [family.name for family in families] == ["callrec_calls_ended"]


def test_health(server: MetricsServer, patient: Patient) -> None:
    status, headers, body = ask(server, "/healthz")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(body) == {"status": "healthy"}
    patient.health = ILL
    status, _, body = ask(server, "/healthz")
    assert (status, json.loads(body)) == (503, {"status": "unhealthy"})
    status, headers, body = ask(server, "/healthz", "HEAD")
    assert (status, body) == (503, b"")
    assert int(headers["Content-Length"]) > 0


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "NONSENSE"])
def test_only_reading(server: MetricsServer, method: str) -> None:
    status, headers, _ = ask(server, "/metrics", method)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /nonsense-<script> HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", b"400"),
        (b"GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/9.9\r\n\r\n", b"505"),
        (b"<script> <script> <script> <script>\r\n\r\n", b"400"),
        (b"GET /../../etc/passwd HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", b"40"),
        (b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 2000 + b"\r\n", b""),
        (b"GET /metrics HTTP/1.1\r\nAccept: \xff\xfe;q=;;;,\r\n\r\n", b"200"),
        (b"GET /metrics HTTP/1.1\r\nAccept: text/plain; version=x.y\r\n\r\n", b"200"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b""),
        (b"", b""),
    ],
)
def test_nonsense_is_turned_away(server: MetricsServer, sent: bytes, status: bytes) -> None:
    answer = raw(server, sent)
    assert status in answer.partition(b"\r\n")[0]
    assert b"script" not in answer
    assert ask(server, "/healthz")[0] == 200


def test_slow_clients_hold_up_nobody_for_long(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who say nothing, or a byte now and then, are hung up on; then there is room again."""
    monkeypatch.setattr(observe_http, "REQUEST_S", 0.3)
    with served(patient) as server:
        idle = [socket.create_connection(server.address[:2], timeout=10) for _ in range(10)]
        slow = idle[0]
        slow.settimeout(0.05)
        sent = 0
        with suppress(ConnectionError):  # hung up on, though it went on talking
            while sent < 100:
                slow.sendall(b"G")
                sent += 1
                with suppress(TimeoutError):
                    if slow.recv(1) == b"":
                        break
        assert sent < 100
        assert [client.recv(1) for client in idle[1:]] == [b""] * 9
        for client in idle:
            client.close()
        assert ask(server, "/healthz")[0] == 200


def test_a_client_that_does_not_read(server: MetricsServer) -> None:
    for _ in range(20):
        with socket.create_connection(server.address[:2], timeout=10) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(OSError, http.client.HTTPException):  # all are busy for a moment
            assert ask(server, "/metrics")[0] == 200
            return
    pytest.fail("nobody is answered any more")


def test_ipv6(patient: Patient) -> None:
    try:
        free_port("[::1]")
    except OSError:
        pytest.skip("this machine has no IPv6")
    with served(patient, "[::1]") as server:
        assert ask(server, "/healthz")[0] == 200


def test_a_port_in_use_is_told_once_and_tried_again(
    patient: Patient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(observe_http, "AGAIN_S", 0.01)
    told: list[str] = []
    monkeypatch.setattr(observe_http.log, "error", lambda what, **_: told.append(what))
    with socket.create_server(("127.0.0.1", 0)) as others:
        server = MetricsServer(f"127.0.0.1:{others.getsockname()[1]}", CollectorRegistry())
        server.start()
        assert not server.bound.wait(0.2)
    assert server.bound.wait(10)
    server.stop()
    assert told == ["metrics_not_served"]


def test_an_address_of_another_machine_does_not_stop_the_end() -> None:
    server = MetricsServer("192.0.2.1:9464", CollectorRegistry())
    server.start()
    server.stop()
    assert not server.bound.is_set()


def test_off() -> None:
    server = MetricsServer("")
    server.start()
    server.stop()
    assert server.address == ()
