"""Checks of a PBX, each by itself."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import TypeVar

from callrec_pbx.config import Config
from callrec_pbx.doctor.finding import Finding, warn
from callrec_pbx.pbx.errors import PbxError

Probe = TypeVar("Probe")
Check = Callable[[Probe, Config], AsyncIterator[Finding]]


async def carefully(
    checks: Mapping[str, Check[Probe]], probe: Probe, config: Config
) -> list[Finding]:
    """Carry out checks in their order; one that the PBX does not answer does not end the others."""
    found: list[Finding] = []
    for name, check in checks.items():
        try:
            async for finding in check(probe, config):
                found.append(finding)  # noqa: PERF401 - what came before an error is kept
        except (PbxError, OSError) as error:
            remedy = "mend what failed above, and look again"
            found.append(warn(name, f"could not be checked: {error}", remedy))
    return found
