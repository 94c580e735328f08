"""`callrec-pbx run`: the listener."""

import typer

from callrec_pbx import log
from callrec_pbx.config import load_config


def run(ctx: typer.Context) -> None:
    """Record calls until told to stop (SIGTERM or Ctrl-C)."""
    config = load_config(ctx.obj)
    log.configure(config.log.level, config.log.format)
    from callrec_pbx.recorder import run as listen  # noqa: PLC0415 - a bad file is told first

    listen(config)
