"""Checks of the files that FreeSWITCH and we share: what we write it sees, and the reverse.

Where FreeSWITCH has Lua it tries the file itself, as its own user; without, permissions are judged.
"""

import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from callrec_pbx.config import Config
from callrec_pbx.doctor import access
from callrec_pbx.doctor.finding import Finding, fail, ok
from callrec_pbx.doctor.freeswitch import probe as esl
from callrec_pbx.doctor.freeswitch.probe import EslProbe
from callrec_pbx.doctor.local import prompt_files

BATCH = 20
"""Names of files in one command."""


async def check_spool(probe: EslProbe, config: Config) -> AsyncIterator[Finding]:
    """FreeSWITCH sees the folder in which we write, and may write there itself."""
    folder, there = config.recordings.directory, config.recordings.as_seen_by_pbx
    if not folder.is_dir():
        setup = "run `callrec-pbx setup freeswitch`"
        yield fail("spool", f"{folder}: there is no such folder", setup)
        return
    user = access.listening_user(config.freeswitch.port)
    hindered = access.obstacle(user, folder, access.WRITE | access.ENTER) if user else ""
    if user and hindered:
        yield fail("spool", hindered, _share(folder, user.name))
        return
    token = f".doctor-{secrets.token_hex(8)}"
    try:
        (folder / token).write_text("")
    except OSError as error:
        seen = f"{folder}: cannot be written here ({error.strerror})"
        yield fail("spool", seen, "run as a user that may")
        return
    try:
        seen = await esl.said(probe, f"file_exists {there / token}")
    finally:
        (folder / token).unlink(missing_ok=True)
    if seen != "true":
        yield fail(
            "spool",
            f"what is written to {folder} FreeSWITCH does not see in {there}",
            "set recordings.pbx_directory to the path by which FreeSWITCH knows that folder, and "
            "let both share it",
        )
        return
    refusal = await _tries_to_write(probe, there / f"{token}-pbx")
    if refusal:
        name = user.name if user else "FreeSWITCH's user"
        yield fail("spool", f"FreeSWITCH cannot write there: {refusal}", _share(folder, name))
        return
    who = f", whose user {user.name} may write there" if user else ""
    yield ok("spool", f"{folder} is shared with FreeSWITCH{who}")


def _share(folder: Path, user: str) -> str:
    return (
        f"chown {user} {folder} && chmod 2770 {folder}, and see that {user} may enter the folders "
        "above it"
    )


async def _tries_to_write(probe: EslProbe, path: Path) -> str:
    """Have FreeSWITCH make a file and remove it; why it cannot, if so and as far as it says."""
    name = esl.text(str(path))
    return (
        await esl.lua(
            probe,
            f"local f,e=io.open({name},'w') "
            f"if f then f:close() os.remove({name}) else stream:write(e) end",
        )
        or ""
    )


async def check_prompt_access(probe: EslProbe, config: Config) -> AsyncIterator[Finding]:
    """FreeSWITCH's user may read the prompts, where the scripts look for them."""
    folder = config.sounds_dir
    if not folder.is_dir():
        return  # the prompts check says so
    user = access.listening_user(config.freeswitch.port)
    files = prompt_files(folder)
    for path in files if user else ():
        hindered = access.obstacle(user, path, access.READ) if user else ""
        if hindered:
            yield fail("prompt_access", hindered, f"chmod -R a+rX {folder}")
            return
    refused = await _tries_to_read(probe, files)
    if refused:
        yield fail(
            "prompt_access",
            f"FreeSWITCH cannot read {refused[0]}"
            + (f" and {len(refused) - 1} more" if len(refused) > 1 else ""),
            f"let FreeSWITCH see {folder} by that path (freeswitch.sounds_dir), and its user read "
            "it",
        )
        return
    yield ok("prompt_access", "FreeSWITCH can read the prompts")


async def _tries_to_read(probe: EslProbe, files: Sequence[Path]) -> list[str]:
    """Have FreeSWITCH open files; those that it cannot."""
    refused: list[str] = []
    for some in _batches([str(path) for path in files if str(path).isprintable()]):
        found = await esl.lua(
            probe,
            f"for _,n in ipairs({esl.texts(some)}) do local f=io.open(n,'rb') "
            "if f then f:close() else stream:write(n..'|') end end",
        )
        if found is None:  # no Lua
            refused += [n for n in some if await esl.said(probe, f"file_exists {n}") != "true"]
        else:
            refused += [name for name in found.split("|") if name]
    return refused


def _batches(names: list[str]) -> Iterator[list[str]]:
    for at in range(0, len(names), BATCH):
        yield names[at : at + BATCH]
