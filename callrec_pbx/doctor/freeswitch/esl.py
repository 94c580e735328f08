"""Checks of the event socket: who may come in, and who may read the way in."""

from collections.abc import AsyncIterator

from callrec_pbx.config import Config
from callrec_pbx.doctor import access
from callrec_pbx.doctor.finding import Finding, fail, ok, warn
from callrec_pbx.doctor.freeswitch import probe as esl
from callrec_pbx.doctor.freeswitch.probe import EslProbe

SECURE = "run `callrec-pbx setup freeswitch --secure-event-socket`"
PUBLIC_PASSWORD = "ClueCon"  # noqa: S105 - the one that FreeSWITCH comes with
FILE = "autoload_configs/event_socket.conf.xml"
LOOPBACK = ("127.", "::1", "localhost")

_ANYBODY = access.User(-1, frozenset(), "anybody")
"""Has no file and is in no group, so that only the rights of others count."""


async def check_security(probe: EslProbe, config: Config) -> AsyncIterator[Finding]:
    """Whoever gets in commands the whole machine (`system`), so nobody else should."""
    found = False
    settings = await _settings(probe)
    password = config.freeswitch.password.get_secret_value()
    if PUBLIC_PASSWORD in (password, settings.get("password")):
        found = True
        yield fail(
            "esl_security",
            f"the event socket's password is {PUBLIC_PASSWORD}, which everybody knows",
            SECURE,
        )
    where = _beyond_loopback(config.freeswitch.port, settings)
    if where:
        found = True
        lists = settings.get("apply-inbound-acl")
        yield warn(
            "esl_security",
            f"the event socket listens at {where}, not only on this machine"
            + (f"; the access list {lists} is all that is before it" if lists else ""),
            SECURE,
        )
    file = config.freeswitch.config_dir / FILE
    if file.is_file() and not access.obstacle(_ANYBODY, file, access.READ):
        found = True
        yield warn(
            "esl_security",
            f"{file}, with the password in it, can be read by everybody on this machine",
            f"chmod 640 {file}, as owner and group FreeSWITCH's; or {SECURE}",
        )
    if not found:
        yield ok("esl_security", "the event socket is for this machine, with a password of its own")


async def _settings(probe: EslProbe) -> dict[str, str]:
    """The event socket's settings as FreeSWITCH has read them; empty when it does not say."""
    command = "xml_locate configuration configuration name event_socket.conf"
    found = await esl.tree(probe, command)
    if found is None:
        return {}
    params = {one.get("name", ""): one.get("value", "") for one in found.iter("param")}
    return {name.lower(): value for name, value in params.items()}


def _beyond_loopback(port: int, settings: dict[str, str]) -> str:
    """Where others than this machine can reach it; by its socket, else by its settings."""
    sockets = access.listeners(port)
    if sockets:
        open_at = {str(one.address) for one in sockets if not one.address.is_loopback}
        return ", ".join(sorted(open_at))
    address = settings.get("listen-ip", "")
    return "" if address.startswith(LOOPBACK) else address
