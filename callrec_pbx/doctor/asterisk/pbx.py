"""Checks of what the PBX has loaded and sees."""

import re
import secrets
import time
from collections.abc import AsyncIterator
from fnmatch import fnmatchcase

from callrec_pbx.config import Config
from callrec_pbx.doctor import access
from callrec_pbx.doctor.asterisk.ami import SETUP
from callrec_pbx.doctor.asterisk.probe import PbxProbe, file_lines, value
from callrec_pbx.doctor.finding import Finding, fail, ok, warn
from callrec_pbx.doctor.local import prompt_files
from callrec_pbx.pbx.errors import ActionFailedError
from callrec_pbx.setup.asterisk import plan_setup
from callrec_pbx.setup.errors import SetupError
from callrec_pbx.setup.prompts import MARK_FILE
from callrec_pbx.setup.templates import STALE_S

MODULES = {
    "app_chanspy": "notices to all parties, and the reminder tone",
    "app_exec": "ExecIf",
    "app_mixmonitor": "MixMonitor",
    "app_originate": "notices to all parties",
    "app_playback": "Playback",
    "app_read": "Read",
    "app_senddtmf": "notices of the listener",
    "app_stack": "Gosub",
    "app_userevent": "UserEvent",
    "app_waitforcond": "WaitForCondition",
    "format_wav": "the prompts' format",
    "func_channel": "CHANNEL",
    "func_dialplan": "DIALPLAN_EXISTS",
    "func_global": "GLOBAL",
    "func_logic": "IF",
    "func_periodic_hook": "the reminder tone",
    "func_strings": "FILTER, STRFTIME and ARRAY",
    "pbx_config": "the dialplan",
}
"""What the dialplan and the listener use, and where it is."""

ENTRIES = (
    ("callrec-offer", "s"),
    ("callrec-whisper", "s"),
    ("callrec-key", "pause"),
    ("callrec-end", "s"),
    ("callrec-tell", "s"),
    ("callrec-voicemail", "s"),
    ("callrec-profile", "s"),
)
BUILTIN = ("blindxfer", "atxfer", "disconnect", "parkcall", "automixmon", "automon")
OWN = ("callrec-pause", "callrec-start", "callrec-discard")
MOST_SKEW_S = 1.0


async def check_modules(probe: PbxProbe, config: Config) -> AsyncIterator[Finding]:  # noqa: ARG001
    """Every module that is used is loaded."""
    missing = []
    for module, use in MODULES.items():
        try:
            await probe.action("ModuleCheck", Module=module)
        except ActionFailedError:
            missing.append(f"{module} ({use})")
    if missing:
        yield fail(
            "modules",
            f"not loaded: {', '.join(missing)}",
            "load them in modules.conf, then `asterisk -rx 'core restart gracefully'`",
        )
        return
    yield ok("modules", f"all {len(MODULES)} that are needed are loaded")


async def check_dialplan(probe: PbxProbe, config: Config) -> AsyncIterator[Finding]:
    """The entry points are loaded, and what is installed is what setup would install now."""
    missing = []
    for context, extension in ENTRIES:
        there = await value(probe, f"DIALPLAN_EXISTS({context},{extension},1)")
        if not there:
            yield warn("dialplan", "cannot be asked for without func_dialplan", "load that module")
            return
        if there == "0":
            missing.append(context)
    if missing:
        yield fail("dialplan", f"not loaded: {', '.join(missing)}", SETUP)
        return
    version = await _version(probe)
    try:
        behind = [str(change.path) for change in plan_setup(config, version).files]
    except SetupError as error:
        yield warn("dialplan", f"loaded; whether it is up to date is not known: {error}", SETUP)
        return
    if behind:
        shown = ", ".join(behind[:3]) + (", ..." if len(behind) > 3 else "")  # noqa: PLR2004
        yield warn("dialplan", f"loaded, but setup would change {shown}", SETUP)
        return
    yield ok("dialplan", "loaded, and as setup would install it")


async def _version(probe: PbxProbe) -> tuple[int, int] | None:
    said = (await probe.action("CoreSettings")).get("AsteriskVersion", "")
    match = re.match(r"(?:certified[/-])?(\d+)\.(\d+)", said)
    return (int(match.group(1)), int(match.group(2))) if match else None


async def check_keys(probe: PbxProbe, config: Config) -> AsyncIterator[Finding]:
    """The in-call keys are in the applicationmap."""
    lines = await file_lines(probe, "features.conf", "applicationmap")
    there = {name: text.partition(",")[0].strip() for name, text in lines or ()}
    keys = config.keys
    wanted = dict(zip(OWN, (keys.pause, keys.start, keys.discard), strict=True))
    wrong = [
        f"{name} is {there.get(name, 'missing')}" for name in OWN if there.get(name) != wanted[name]
    ]
    if wrong:
        yield fail("keys", f"in features.conf {', '.join(wrong)}", SETUP)
        return
    shown = ", ".join(f"{name.removeprefix('callrec-')} {key}" for name, key in wanted.items())
    yield ok("keys", f"in features.conf: {shown}")


async def check_key_clash(probe: PbxProbe, config: Config) -> AsyncIterator[Finding]:
    """No other feature code swallows one of our keys."""
    set_here = dict(await file_lines(probe, "features.conf", "featuremap") or ())
    codes = {name: (code, True) for name, code in set_here.items()}
    for name in BUILTIN:
        loaded = await value(probe, f"FEATUREMAP({name})")
        if loaded:
            codes[name] = (loaded, name in set_here)
    for name, text in await file_lines(probe, "features.conf", "applicationmap") or ():
        if name not in OWN:
            codes[name] = (text.partition(",")[0].strip(), True)
    keys = config.keys
    found = False
    for own, key in (("pause", keys.pause), ("start", keys.start), ("discard", keys.discard)):
        for name, (code, chosen) in codes.items():
            finding = _clash(own, key, name, code, chosen)
            if finding is not None:
                found = True
                yield finding
    if not found:
        yield ok("key_clash", "no other feature code begins like an in-call key")


def _clash(own: str, key: str, name: str, code: str, chosen: bool) -> Finding | None:
    remedy = (
        f"change {name} in features.conf (such as *1), or keys.{own} in callrec.toml; then run "
        "`callrec-pbx setup asterisk --reload`"
    )
    if code and key.startswith(code):
        seen = f"the feature code {code} ({name}) swallows the key {key} ({own})"
        if chosen:
            return fail("key_clash", seen, remedy)
        return warn("key_clash", f"{seen} in every Dial or Queue that allows {name}", remedy)
    if code.startswith(key):
        seen = f"the key {key} ({own}) swallows the feature code {code} ({name})"
        return warn("key_clash", seen, remedy)
    return None


async def check_spool(probe: PbxProbe, config: Config) -> AsyncIterator[Finding]:
    """The PBX sees the folder in which we write, and may write there itself."""
    folder = config.recordings.directory
    if not folder.is_dir():
        yield fail(
            "spool", f"{folder}: there is no such folder", "run `callrec-pbx setup asterisk`"
        )
        return
    user = await _pbx_user(probe, config)
    hindered = access.obstacle(user, folder, access.WRITE | access.ENTER) if user else ""
    if user and hindered:
        yield fail(
            "spool",
            hindered,
            f"chown {user.name} {folder} && chmod 2770 {folder}, and see that "
            f"{user.name} may enter the folders above it",
        )
        return
    token = secrets.token_hex(8)
    name = f".doctor-{token}.conf"
    try:
        (folder / name).write_text(f"[callrec]\ntoken = {token}\n")
    except OSError as error:
        yield fail(
            "spool",
            f"{folder}: cannot be written here ({error.strerror})",
            "run as a user that may",
        )
        return
    try:
        (folder / name).chmod(0o644)
        seen = await value(
            probe, f"AST_CONFIG({config.recordings.as_seen_by_pbx / name},callrec,token)"
        )
    finally:
        (folder / name).unlink(missing_ok=True)
    if seen == token:
        yield ok(
            "spool",
            f"{folder} is shared with the PBX"
            + (f", whose user {user.name} may write there" if user else ""),
        )
    elif await _has_func_config(probe):
        yield fail(
            "spool",
            f"what is written to {folder} the PBX does not see in "
            f"{config.recordings.as_seen_by_pbx}",
            "set recordings.pbx_directory to the path by which the PBX knows that folder, and let "
            "both share it",
        )
    else:
        yield warn(
            "spool",
            f"{folder} can be written here; whether the PBX sees it cannot be asked",
            "load func_config.so to have that checked",
        )


async def check_prompt_access(probe: PbxProbe, config: Config) -> AsyncIterator[Finding]:
    """Asterisk's user may read the prompts, where Asterisk looks for them."""
    folder = config.sounds_dir
    if not folder.is_dir():
        return  # the prompts check says so
    user = await _pbx_user(probe, config)
    for path in prompt_files(folder) if user else ():
        hindered = access.obstacle(user, path, access.READ) if user else ""
        if hindered:
            yield fail("prompt_access", hindered, f"chmod -R a+rX {folder}")
            return
    seen = await value(probe, f"AST_CONFIG({folder / MARK_FILE},callrec,prompts)")
    if seen:
        yield ok("prompt_access", "the PBX can read the prompts")
    elif await _has_func_config(probe):
        yield fail(
            "prompt_access",
            f"the PBX does not see {folder}",
            "set asterisk.data_dir to Asterisk's astdatadir and run `callrec-pbx setup asterisk`",
        )
    else:
        yield warn(
            "prompt_access",
            "the prompts' permissions are right; whether the PBX sees them cannot be asked",
            "load func_config.so to have that checked",
        )


async def _has_func_config(probe: PbxProbe) -> bool:
    try:
        await probe.action("ModuleCheck", Module="func_config")
    except ActionFailedError:
        return False
    return True


async def _pbx_user(probe: PbxProbe, config: Config) -> access.User | None:
    name = (await probe.action("CoreSettings")).get("CoreRunUser", "")
    return access.named(name) or access.listening_user(config.asterisk.port)


async def check_clock(probe: PbxProbe, config: Config) -> AsyncIterator[Finding]:  # noqa: ARG001
    """The PBX's clock and ours agree."""
    before = time.time()
    said = await value(probe, "STRFTIME(,UTC,%s.%3q)")
    after = time.time()
    try:
        there = float(said)
    except ValueError:
        yield warn(
            "clock", "the PBX's time cannot be asked without func_strings", "load that module"
        )
        return
    skew = max(before - there, there - after, 0.0)
    seen = f"the PBX's clock differs by {skew:.1f} s"
    if skew > MOST_SKEW_S:
        yield warn("clock", seen, "let both machines keep time by NTP")
    else:
        yield ok("clock", seen)


async def check_heartbeat(probe: PbxProbe, config: Config) -> AsyncIterator[Finding]:  # noqa: ARG001
    """A listener is at work."""
    beat = await value(probe, "CALLREC_HEARTBEAT")
    age = time.time() - float(beat) if re.fullmatch(r"\d+(\.\d+)?", beat) else None
    if age is not None and age <= STALE_S + MOST_SKEW_S:
        yield ok("heartbeat", "the listener runs")
        return
    seen = "never since Asterisk started" if age is None else f"last heard of {age:.0f} s ago"
    yield warn("heartbeat", f"no listener runs ({seen})", "start `callrec-pbx run`")


async def check_trunks(probe: PbxProbe, config: Config) -> AsyncIterator[Finding]:
    """The patterns of outside lines match endpoints."""
    try:
        listed = await probe.listing("PJSIPShowEndpoints", "EndpointListComplete")
    except ActionFailedError as error:
        yield warn("trunks", f"the endpoints cannot be listed: {error}", "load res_pjsip.so")
        return
    names = [entry["ObjectName"] for entry in listed if "ObjectName" in entry]
    patterns = config.asterisk.trunks
    matching = [name for name in names if config.asterisk.is_trunk(name)]
    idle = [p for p in patterns if not any(fnmatchcase(name, p) for name in names)]
    remedy = (
        f"set asterisk.trunks in {config.path} to patterns of the endpoints that are outside "
        f"lines; endpoints are {', '.join(names[:10])}{', ...' if len(names) > 10 else ''}"  # noqa: PLR2004
    )
    if not matching:
        yield fail("trunks", f"no endpoint is like {', '.join(patterns) or 'anything'}", remedy)
    elif idle:
        yield warn("trunks", f"no endpoint is like {', '.join(idle)}", remedy)
    else:
        yield ok("trunks", f"outside lines: {', '.join(matching)}")
