"""`callrec-pbx health` against whoever answers."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from callrec_pbx.recorder import observe_http
from callrec_pbx.recorder.observe_health import Health
from callrec_pbx.recorder.observe_http import MetricsServer, Server
from tests.cli.test_root import Run, run

__all__ = ["run"]

DOCUMENT: dict[str, Any] = {
    "status": "unhealthy",
    "problems": [{"what": "pbx_link_down", "remedy": "see \x07"}],
    "warnings": [],
    "pbx": {"up": False, "last_heartbeat_at": None},
    "calls_active": 3,
}


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def config(tmp_path: Path, listen: str) -> str:
    file = tmp_path / "callrec.toml"
    file.write_text(f'[metrics]\nlisten = "{listen}"\n')
    return str(file)


@contextmanager
def answering(listen: str, document: dict[str, Any]) -> Iterator[None]:
    health = Health((), (), document)
    server = MetricsServer(listen, ask=lambda: health)
    server.start()
    assert server.bound.wait(10)
    try:
        yield
    finally:
        server.stop()


@pytest.fixture(autouse=True)
def _quiet_and_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Server, "timeout", 0.02)
    monkeypatch.setattr(observe_http.log, "info", lambda *_, **__: None)


def test_healthy_or_not(run: Run, tmp_path: Path, port: int) -> None:
    file = config(tmp_path, f"0.0.0.0:{port}")
    with answering(f"127.0.0.1:{port}", {**DOCUMENT, "status": "healthy", "problems": []}):
        status, out, _ = run("--config", file, "health")
    assert (status, out.splitlines()[0]) == (0, "healthy")
    assert "calls_active" in out
    assert "pbx.last_heartbeat_at    never" in out
    with answering(f"127.0.0.1:{port}", DOCUMENT):
        status, out, _ = run("--config", file, "health")
        assert (status, out.splitlines()[0]) == (1, "unhealthy")
        assert "problem: pbx_link_down: see " in out
        assert "\x07" not in out
        status, out, _ = run("--config", file, "health", "--json")
        assert (status, json.loads(out)) == (1, DOCUMENT)


def test_nobody_answers(run: Run, tmp_path: Path, port: int) -> None:
    file = config(tmp_path, f"127.0.0.1:{port}")
    status, _, err = run("--config", file, "health")
    assert (status, "see whether the listener runs" in err) == (1, True)
    status, out, _ = run("--config", file, "health", "--json")
    assert (status, json.loads(out)["status"]) == (1, "unreachable")


def test_it_is_switched_off(run: Run, tmp_path: Path) -> None:
    status, _, err = run("--config", config(tmp_path, ""), "health")
    assert (status, "metrics.listen" in err) == (2, True)


@pytest.mark.parametrize(
    "answer", [b"", b"220 mail\r\n", b"HTTP/1.1 200 OK\r\n\r\n[1]", b"HTTP/1.1 200 OK\r\n\r\nhello"]
)
def test_somebody_else_answers(run: Run, tmp_path: Path, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as others:

        def once() -> None:
            with others.accept()[0] as client:
                client.recv(1000)
                client.sendall(answer)

        thread = threading.Thread(target=once)
        thread.start()
        listen = f"127.0.0.1:{others.getsockname()[1]}"
        status, _, err = run("--config", config(tmp_path, listen), "health")
        thread.join()
    assert status == 1
    assert listen in err


def test_somebody_who_says_nothing(run: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        listen = f"127.0.0.1:{silent.getsockname()[1]}"
        status, _, err = run("--config", config(tmp_path, listen), "health", "--wait", "0.1")
    assert (status, "no answer" in err) == (1, True)
