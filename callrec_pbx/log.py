"""Logging: one line per event on standard error, for people or as JSON.

The ids of call and recording are bound once, with `about`, and are then on every line.
"""

import logging
import sys
from contextlib import AbstractContextManager
from typing import TextIO

import structlog

LOUD = ("panoramisk", "apscheduler", "alembic", "sqlalchemy", "asyncio")
"""Libraries that tell too much below a warning."""

# Without the values of local variables: those are callers' numbers and names.
_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def configure(level: str = "info", style: str = "console", stream: TextIO | None = None) -> None:
    """Set logging up for the process; libraries' own log lines come out the same way.

    Args:
        level: Least important level that is logged: debug, info, warning or error.
        style: `console` for people, `json` for programs.
        stream: Where to; standard error without it.
    """
    out = stream or sys.stderr
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.typing.Processor] = (
        [
            _TRACEBACKS,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
        if style == "json"
        else [
            structlog.dev.ConsoleRenderer(
                colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        ]
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
            foreign_pre_chain=shared,
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in LOUD:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))


def about(call: str = "", recording: str = "") -> AbstractContextManager[None]:
    """Bind the ids of a call and a recording to every line that is logged inside the context."""
    ids = {"call": call, "recording": recording}
    return structlog.contextvars.bound_contextvars(**{k: v for k, v in ids.items() if v})
