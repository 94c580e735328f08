"""Log lines."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from callrec_pbx import log


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_json_carries_the_bound_ids() -> None:
    out = io.StringIO()
    log.configure("info", "json", out)
    with log.about(call="c1", recording="r1"):
        structlog.get_logger("a").info("started", size=1)
    structlog.get_logger("a").info("idle")
    structlog.get_logger("a").debug("not shown")
    logging.getLogger("lib").warning("from %s", "a library")
    first, second, third = [json.loads(line) for line in out.getvalue().splitlines()]
    assert first["event"] == "started"
    assert (first["call"], first["recording"], first["size"]) == ("c1", "r1", 1)
    assert (first["level"], first["logger"]) == ("info", "a")
    assert first["timestamp"].endswith("Z")
    assert "call" not in second
    assert (third["event"], third["logger"]) == ("from a library", "lib")


def test_console() -> None:
    out = io.StringIO()
    log.configure("debug", "console", out)
    with log.about(call="c1"):
        structlog.get_logger("a").debug("hello")
    assert "hello" in out.getvalue()
    assert "call=c1" in out.getvalue()
    assert "recording" not in out.getvalue()


def test_talkative_libraries_are_quiet() -> None:
    out = io.StringIO()
    log.configure("debug", "json", out)
    logging.getLogger("apscheduler.scheduler").info("tick")
    assert out.getvalue() == ""
