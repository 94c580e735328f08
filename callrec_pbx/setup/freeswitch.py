"""The plan for FreeSWITCH: our scripts, an extension, the prompts, and the event socket."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from callrec_pbx.config import Config
from callrec_pbx.config.load import EXAMPLE, parse_config
from callrec_pbx.setup import event_socket, fsxml, owner, templates
from callrec_pbx.setup.errors import SetupError
from callrec_pbx.setup.event_socket import EventSocketPlanner
from callrec_pbx.setup.plan import Plan
from callrec_pbx.setup.planner import FOLDER, refuse_other_pbx

DIALPLAN = "callrec.xml"
USERS = "default"
"""Context of the users, and its folder, in the configuration that FreeSWITCH comes with."""

FROM_OUTSIDE = "public"
NEEDED = ("mod_commands", "mod_dptools", "mod_event_socket", "mod_lua", "mod_sndfile")
SOURCE_BUILD = Path("/usr/local/freeswitch")

_CHOSEN = re.compile(r'^pbx = "asterisk".*$', re.MULTILINE)


def plan_setup(
    config: Config, secure_event_socket: bool = False, new_configuration: str = ""
) -> Plan:
    """Plan what is to be put on this machine's FreeSWITCH; nothing is changed.

    Args:
        config: The configuration.
        secure_event_socket: Whether the event socket is to be ours: loopback, with a password that
            nobody knows.
        new_configuration: Text of the configuration file, when there is none yet.

    Raises:
        SetupError: It cannot be done; the message says why.
    """
    refuse_other_pbx(config, "freeswitch")
    freeswitch = config.freeswitch
    for key, path, what in (
        ("config_dir", freeswitch.config_dir, "its configuration folder (conf_dir)"),
        ("scripts_dir", freeswitch.scripts_dir, "its folder of scripts (script_dir)"),
        ("sounds_dir", freeswitch.sounds_dir, "its folder of sounds (sounds_dir)"),
    ):
        if not path.is_dir():
            raise SetupError(
                f"{config.path}: freeswitch.{key} = {path}: there is no such folder; "
                f"install FreeSWITCH and start it once, or give {what}, which "
                f"`fs_cli -x 'global_getvar'` shows"
            )
    if not (freeswitch.config_dir / "freeswitch.xml").is_file():
        raise SetupError(
            f"{config.path}: freeswitch.config_dir = {freeswitch.config_dir}: there is no "
            "freeswitch.xml in it; give FreeSWITCH's configuration folder (conf_dir)"
        )
    return _Planner(config, secure_event_socket, new_configuration).plan()


class _Planner(EventSocketPlanner):
    def __init__(self, config: Config, secure: bool, new_configuration: str) -> None:
        etc = config.freeswitch.config_dir
        super().__init__(config, etc, owner.freeswitch_owner(etc), new_configuration)
        self._secure = secure
        self._whole = fsxml.whole(etc, event_socket.variables(config))

    def plan(self) -> Plan:
        freeswitch = self._config.freeswitch
        self._folder(self._etc / FOLDER, 0o755)
        self._folder(self._config.recordings.directory, 0o2770)
        self._own_configuration()
        rendered = templates.freeswitch_files(self._config)
        for name, content in rendered.items():
            if name != DIALPLAN:
                self._place(freeswitch.scripts_dir / name, content)
        self._prompts(freeswitch.sounds_dir / FOLDER, folders_of_rates=True)
        self._place(self._dialplan(), rendered[DIALPLAN])
        self._event_socket(self._whole, self._secure)
        self._old_files()
        self._write_record()
        # Last, when the record says where what was there before is kept.
        for change in self._late:
            self._plan.add(change)
        self._plan.notes += self._notes()
        return self._plan

    def _dialplan(self) -> Path:
        """Return where a context of the users includes it from; else a place of our own."""
        usual = self._etc / "dialplan" / USERS / DIALPLAN
        if fsxml.including_contexts(self._whole, usual):
            return usual
        folders = [
            folder
            for include, context in fsxml.folders_of_contexts(self._whole)
            if (folder := _folder_of(include.pattern)) is not None and context != FROM_OUTSIDE
        ]
        if len(folders) == 1:
            return folders[0] / DIALPLAN
        own = self._etc / FOLDER / DIALPLAN
        if not any(include.pattern == str(own) for include in self._whole.includes):
            self._plan.notes.append(
                f"no context {USERS!r} of the dialplan includes a folder of files, so that nobody "
                "can dial a profile code yet: add to the context of your users, on a line of its "
                f'own, <X-PRE-PROCESS cmd="include" data="{own}"/>'
            )
        return own

    def _notes(self) -> Iterator[str]:
        text = self._whole.text
        missing = [name for name in NEEDED if name not in fsxml.loaded_modules(text)]
        if missing:
            yield (
                f"modules.conf.xml does not load {', '.join(missing)}, which callrec-pbx needs: "
                f'add <load module="{missing[0]}"/> there for each of them and start FreeSWITCH '
                "again"
            )
        handler = _dialplan_handler(text)
        if handler:
            yield (
                f"the dialplan comes from {handler} (as with FusionPBX), which may not read "
                f"dialplan/: if a profile code is not found, add its extension there, as in "
                f"{self._etc}/dialplan/{USERS}/{DIALPLAN}"
            )


def _folder_of(pattern: str) -> Path | None:
    """Return the folder of which a pattern includes all files."""
    folder, _, name = pattern.rpartition("/")
    return Path(folder) if name == "*.xml" and not re.search(r"[*?\[$]", folder) else None


def _dialplan_handler(text: str) -> str:
    """Return what answers FreeSWITCH's questions for the dialplan instead of the files."""
    lua = dict(fsxml.settings(text, "lua.conf") or [])
    if "dialplan" in lua.get("xml-handler-bindings", ""):
        return lua.get("xml-handler-script", "a script")
    for element in fsxml.elements(text):
        bound = element.attributes.get("bindings", "")
        if element.attributes.get("name") == "gateway-url" and "dialplan" in bound:
            return element.attributes.get("value", "mod_xml_curl")
    return ""


@dataclass(frozen=True, slots=True)
class Folders:
    """Where a FreeSWITCH keeps what we need of it."""

    config_dir: Path
    scripts_dir: Path
    sounds_dir: Path

    @property
    def there(self) -> bool:
        """Whether it is there."""
        return (self.config_dir / "freeswitch.xml").is_file()


def first_configuration(path: Path) -> tuple[Config, str]:
    """Return the configuration that setup makes where there is none, and its text.

    Raises:
        ConfigError: An environment variable cannot be used.
        SetupError: FreeSWITCH's configuration cannot be read.
    """
    text = EXAMPLE.read_text(encoding="utf-8")
    text = _CHOSEN.sub('pbx = "freeswitch"             # or "asterisk"', text)
    text = text.replace('# trunks = ["external*"] ', 'trunks = ["external*"]   ')
    config = parse_config(text, path)
    usual = config.freeswitch
    said = Folders(usual.config_dir, usual.scripts_dir, usual.sounds_dir)
    found = next((one for one in _installed() if one.there), None)
    if not said.there and found is not None:
        for key in ("config_dir", "scripts_dir", "sounds_dir"):
            default = f'# {key} = "{getattr(usual, key)}"'
            text = text.replace(default, f'{key} = "{getattr(found, key)}"')
        config = parse_config(text, path)
    port = event_socket.port_of(config)
    if port and port != config.freeswitch.port:
        text = text.replace(f"# port = {config.freeswitch.port}", f"port = {port}")
        config = parse_config(text, path)
    return config, text


def _installed() -> Iterator[Folders]:
    """The places of FreeSWITCH's files, by those of its programs.

    Source: configure.ac and debian/rules of FreeSWITCH 1.11; the last of each is what it was
    before 1.6.
    """
    programs = (shutil.which(name) for name in ("freeswitch", "fs_cli"))
    roots = [Path(program).resolve().parent.parent for program in programs if program]
    for root in dict.fromkeys([*roots, SOURCE_BUILD]):
        share = root / "share" / "freeswitch"
        if root == Path("/usr"):
            yield Folders(Path("/etc/freeswitch"), share / "scripts", share / "sounds")
        yield Folders(root / "etc" / "freeswitch", share / "scripts", share / "sounds")
        yield Folders(root / "conf", root / "scripts", root / "sounds")
