"""Checks of our scripts, where FreeSWITCH looks for them."""

from collections.abc import AsyncIterator
from pathlib import Path, PurePath

from callrec_pbx.config import Config
from callrec_pbx.doctor.finding import Finding, fail, ok, warn
from callrec_pbx.doctor.freeswitch import probe as esl
from callrec_pbx.doctor.freeswitch.probe import EslProbe
from callrec_pbx.pbx.errors import ActionFailedError
from callrec_pbx.setup.errors import SetupError
from callrec_pbx.setup.freeswitch import DIALPLAN, plan_setup
from callrec_pbx.setup.templates import freeswitch_files

SETUP = "run `callrec-pbx setup freeswitch --reload`"
COMMON = "callrec_common.lua"
"""What all scripts load. To run it by itself does nothing."""


async def check_scripts(probe: EslProbe, config: Config) -> AsyncIterator[Finding]:
    """FreeSWITCH has them, can run them, and they are what setup would install now."""
    if await esl.lua(probe, "") is None:
        if await esl.said(probe, "module_exists mod_lua") == "true":
            yield fail("scripts", "mod_lua runs no script", "see FreeSWITCH's log why")
        return  # else the check of the modules says so
    wanted = {name: text for name, text in freeswitch_files(config).items() if name != DIALPLAN}
    folder = await esl.variable(probe, "script_dir")
    there = {name: await content(probe, f"{folder}/{name}") for name in wanted}
    missing = [name for name, text in there.items() if text is None]
    if missing:
        yield _missing(config, folder, missing)
        return
    if _are_two(Path(folder), config.freeswitch.scripts_dir):
        yield _other(config, folder, "FreeSWITCH runs scripts of ours")
        return
    broken = [trouble for name in wanted if (trouble := await _trouble(probe, f"{folder}/{name}"))]
    if not broken and not await _runs(probe):
        broken = [f"{COMMON} does not run; FreeSWITCH's log says why"]
    if broken:
        yield fail("scripts", "; ".join(broken[:3]), SETUP)
        return
    try:
        changes = plan_setup(config).files
    except SetupError as error:
        yield warn("scripts", f"there; whether all is up to date is not known: {error}", SETUP)
        return
    behind = [str(change.path) for change in changes if change.path.name in {*wanted, DIALPLAN}]
    if behind:
        shown = ", ".join(behind[:3]) + (", ..." if len(behind) > 3 else "")  # noqa: PLR2004
        yield warn("scripts", f"there, but setup would change {shown}", SETUP)
        return
    if any(text != wanted[name].decode().strip() for name, text in there.items()):
        yield _other(config, folder, "FreeSWITCH runs others than those that setup has put there,")
        return
    yield ok("scripts", f"{len(wanted)} in {folder}, as setup would install them")


async def content(probe: EslProbe, path: str) -> str | None:
    """Return a text file as FreeSWITCH reads it, stripped; None when it cannot."""
    found = await esl.lua(
        probe,
        f"local f=io.open({esl.text(path)},'rb') if f then stream:write('+'..f:read('*a')) "
        "f:close() end",
    )
    return found[1:].strip() if found else None


def _missing(config: Config, folder: str, missing: list[str]) -> Finding:
    ours = config.freeswitch.scripts_dir
    shown = missing[0] + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
    seen = f"FreeSWITCH cannot read {shown} in its folder of scripts, {folder}"
    if PurePath(folder) == ours or not all((ours / name).is_file() for name in missing):
        return fail("scripts", seen, SETUP)
    return fail("scripts", f"{seen}; they are in {ours}", _remedy(config, folder))


def _are_two(theirs: Path, ours: Path) -> bool:
    """Whether it is another folder; that of a FreeSWITCH in a container is not seen here."""
    return theirs.is_dir() and not (ours.is_dir() and ours.samefile(theirs))


def _other(config: Config, folder: str, what: str) -> Finding:
    return warn(
        "scripts",
        f"{what} in {folder}, and freeswitch.scripts_dir is {config.freeswitch.scripts_dir}",
        _remedy(config, folder),
    )


def _remedy(config: Config, folder: str) -> str:
    return f"set freeswitch.scripts_dir to {folder} in {config.path}, then {SETUP}"


async def _trouble(probe: EslProbe, path: str) -> str:
    """Why a script cannot be run, told by having it read only; empty when it can."""
    found = await esl.lua(
        probe, f"local f,e=loadfile({esl.text(path)}) if not f then stream:write(e) end"
    )
    return found or ""


async def _runs(probe: EslProbe) -> bool:
    try:
        await esl.said(probe, f"lua {COMMON}")
    except ActionFailedError:
        return False
    return True
