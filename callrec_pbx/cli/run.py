"""`callrec-pbx run`: the listener."""

import typer

from callrec_pbx import log
from callrec_pbx.config import Config, ConfigError, load_config


def run(ctx: typer.Context) -> None:
    """Record calls until told to stop (SIGTERM or Ctrl-C)."""
    config = load_config(ctx.obj)
    _require_secret(config)
    log.configure(config.log.level, config.log.format)
    from callrec_pbx.recorder.service import run as listen  # noqa: PLC0415 - a bad file is told first

    listen(config)


def _require_secret(config: Config) -> None:
    freeswitch = config.pbx == "freeswitch"
    key = "freeswitch.password" if freeswitch else "asterisk.secret"
    secret = config.freeswitch.password if freeswitch else config.asterisk.secret
    file = config.freeswitch.password_file if freeswitch else config.asterisk.secret_file
    if not secret.get_secret_value():
        raise ConfigError.one(
            config.path,
            f"is missing, and there is no file {file}",
            f"run `callrec-pbx setup {config.pbx}`, which makes one",
            key=key,
        )
