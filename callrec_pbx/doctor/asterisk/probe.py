"""How the checks ask the PBX."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from callrec_pbx.pbx.errors import ActionFailedError


class PbxProbe(Protocol):
    """The part of the link to Asterisk that the checks use."""

    async def action(
        self, name: str, timeout_s: float | None = None, **headers: str
    ) -> Mapping[str, str]:
        """Carry out one action; raises ActionFailedError when Asterisk says no."""

    async def listing(
        self, name: str, complete: str, timeout_s: float | None = None, **headers: str
    ) -> Sequence[Mapping[str, str]]:
        """Carry out an action that answers with a list, which ends by the event `complete`."""


async def value(probe: PbxProbe, expression: str) -> str:
    """Return a global variable, or what a dialplan function gives without a channel."""
    return (await probe.action("Getvar", Variable=expression)).get("Value", "")


async def refusal(probe: PbxProbe, name: str, **headers: str) -> str:
    """Carry out an action that is expected to fail; return why it did, empty if it did not."""
    try:
        await probe.action(name, None, **headers)
    except ActionFailedError as error:
        return str(error)
    return ""


async def file_lines(probe: PbxProbe, file: str, section: str) -> list[tuple[str, str]] | None:
    """Return the settings of all sections of that name, as Asterisk reads the file.

    None when there is no such file or section, or we may not ask.
    """
    try:
        reply = await probe.action("GetConfig", Filename=file, Category=section)
    except ActionFailedError:
        return None
    found = []
    for header in sorted(reply):
        if header.startswith("Line-"):
            name, _, text = reply[header].partition("=")
            found.append((name.strip(), text.strip().removeprefix(">").strip()))
    return found
