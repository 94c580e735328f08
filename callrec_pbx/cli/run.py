"""`callrec-pbx run`: the listener."""

import typer

from callrec_pbx import log
from callrec_pbx.config import ConfigError, load_config


def run(ctx: typer.Context) -> None:
    """Record calls until told to stop (SIGTERM or Ctrl-C)."""
    config = load_config(ctx.obj)
    if not config.asterisk.secret.get_secret_value():
        raise ConfigError.one(
            config.path,
            f"is missing, and there is no file {config.asterisk.secret_file}",
            "run `callrec-pbx setup asterisk`, which makes one",
            key="asterisk.secret",
        )
    log.configure(config.log.level, config.log.format)
    from callrec_pbx.recorder.service import run as listen  # noqa: PLC0415 - a bad file is told first

    listen(config)
