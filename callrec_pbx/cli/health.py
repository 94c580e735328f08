"""`callrec-pbx health`: how the running listener is, for people and for monitoring."""

import http.client
import json
from typing import Annotated, Any

import typer

from callrec_pbx.cli.common import plain
from callrec_pbx.config import Config, ConfigError, load_config
from callrec_pbx.config.checks import address

MOST_BYTES = 1 << 20
ASKED_AT = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not listened on
"""Where to ask a listener that listens on every address."""


class HealthError(Exception):
    """The listener cannot be asked; the message says what to do."""


def health(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
    wait_s: Annotated[
        float, typer.Option("--wait", min=0.1, max=60, help="Longest wait for the answer, in s.")
    ] = 5.0,
) -> None:
    """Ask the running listener how it is; exit status 0: healthy, 1: not, or no answer."""
    config = load_config(ctx.obj)
    try:
        document = ask(config, wait_s)
    except HealthError as error:
        if as_json:
            typer.echo(json.dumps({"status": "unreachable", "error": str(error)}, indent=2))
        else:
            typer.echo(f"callrec-pbx: {error}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        _show(document)
    raise typer.Exit(0 if document.get("status") == "healthy" else 1)


def ask(config: Config, wait_s: float) -> dict[str, Any]:
    """What the listener's `/healthz` says.

    Raises:
        ConfigError: It is not served.
        HealthError: Nobody answers there, or somebody else does.
    """
    listen = config.metrics.listen
    if not listen:
        raise ConfigError.one(
            config.path,
            "is empty, so that the listener cannot be asked",
            "give an address, such as 127.0.0.1:9464, and restart the listener",
            key="metrics.listen",
        )
    host, port = address(listen)
    connection = http.client.HTTPConnection(ASKED_AT.get(host, host), port, timeout=wait_s)
    try:
        connection.request("GET", "/healthz")
        document = json.loads(connection.getresponse().read(MOST_BYTES))
    except OSError as error:
        raise HealthError(
            f"no answer at {listen} ({error}); see whether the listener runs "
            "(systemctl status callrec-pbx), and its log for metrics_not_served"
        ) from error
    except (ValueError, http.client.HTTPException) as error:
        raise HealthError(_somebody_else(listen)) from error
    finally:
        connection.close()
    if not isinstance(document, dict) or "status" not in document:
        raise HealthError(_somebody_else(listen))
    return document


def _somebody_else(listen: str) -> str:
    return f"what answers at {listen} is not the listener; give another metrics.listen"


def _show(document: dict[str, Any]) -> None:
    typer.echo(plain(str(document["status"])))
    for kind in ("problems", "warnings"):
        for one in document.get(kind) or ():
            typer.echo(plain(f"{kind[:-1]}: {one['what']}: {one['remedy']}"))
    for name, value in document.items():
        if name in ("status", "problems", "warnings"):
            continue
        parts = value.items() if isinstance(value, dict) else [("", value)]
        for part, what in parts:
            label = f"{name}.{part}" if part else name
            shown = "never" if what is None else what
            typer.echo(plain(f"{label:<24} {shown}"))
