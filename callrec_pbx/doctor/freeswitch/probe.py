"""How the checks ask FreeSWITCH."""

import re
from collections.abc import Iterable
from typing import Protocol
from xml.etree import ElementTree as ET

from callrec_pbx.pbx.errors import ActionFailedError, UnsafeValueError

NO_REPLY = re.compile("no reply", re.IGNORECASE)
UNKNOWN = re.compile("command not found", re.IGNORECASE)

_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_MARK = "callrec:"


class EslProbe(Protocol):
    """The part of the link to FreeSWITCH that the checks use."""

    async def api(self, command: str, timeout_s: float | None = None) -> str:
        """Run an API command and return what it printed; ActionFailedError for `-ERR`."""


async def said(probe: EslProbe, command: str) -> str:
    """Return what a command printed; empty when it printed nothing.

    Source: FreeSWITCH 1.11.1, mod_event_socket.c: nothing becomes `-ERR no reply`.
    """
    try:
        return await probe.api(command)
    except ActionFailedError as error:
        if NO_REPLY.search(str(error)):
            return ""
        raise


async def variable(probe: EslProbe, name: str) -> str:
    """Return a global variable; empty when it is not set."""
    return await said(probe, f"global_getvar {name}")


async def knows(probe: EslProbe, command: str) -> bool:
    """Whether there is a command; it must do nothing without a call, and may say so."""
    try:
        await said(probe, command)
    except ActionFailedError as error:
        return not UNKNOWN.search(str(error))
    return True


async def lua(probe: EslProbe, code: str) -> str | None:
    """Run a line of Lua in FreeSWITCH, outside of any call, and return what it wrote.

    Returns:
        None when FreeSWITCH has no Lua, or the line failed.

    Source: FreeSWITCH 1.11.1, mod_lua.cpp: what follows a `~` is code.
    """
    line = f"stream:write('{_MARK}') {code}"
    try:
        output = await probe.api(f"lua ~{line}")
    except ActionFailedError:
        return None
    before, mark, after = output.partition(_MARK)
    return after if mark and not before and "-ERR Cannot execute script" not in after else None


def text(value: str) -> str:
    """Return a string as a Lua literal.

    Raises:
        UnsafeValueError: It has control characters.
    """
    if not value.isprintable():
        raise UnsafeValueError(f"{value!r} cannot be given to FreeSWITCH")
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def texts(values: Iterable[str]) -> str:
    """Return strings as a Lua table."""
    return "{" + ",".join(text(value) for value in values) + "}"


async def tree(probe: EslProbe, command: str) -> ET.Element | None:
    """Return the XML that a command prints; None when it is none."""
    output = await said(probe, command)
    try:
        return ET.fromstring(_DECLARATION.sub("", output))  # noqa: S314 - FreeSWITCH's own
    except ET.ParseError:
        return None
