"""The plan for Asterisk: our files, the prompts, and an include in three files."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from callrec_pbx.config import Config
from callrec_pbx.config.load import EXAMPLE, SECRET_FILE, parse_config
from callrec_pbx.setup import conf, files, owner, templates
from callrec_pbx.setup.errors import SetupError
from callrec_pbx.setup.plan import FileChange, Plan
from callrec_pbx.setup.planner import (
    BACKUP_SUFFIX,
    FOLDER,
    Planner,
    new_secret,
    refuse_other_pbx,
)
from callrec_pbx.setup.record import Touched

ENABLED = {"enabled": "yes", "bindaddr": "127.0.0.1", "timestampevents": "yes"}

_VERSION = re.compile(r"^Asterisk (?:certified[/-])?(\d+)\.(\d+)")
_LOOPBACK = re.compile(r"^(127\.\d+\.\d+\.\d+|::1|\[::1\]|localhost)(:\d+)?$")


@dataclass(frozen=True, slots=True)
class Included:
    """One of the three files that get an include.

    Attributes:
        name: The file, and that of ours that is included.
        custom: The file to use instead where a distribution overwrites the first (FreePBX).
        section: The section that the include must be in, if any.
    """

    name: str
    custom: str
    section: str = ""


INCLUDED = (
    Included("extensions.conf", "extensions_custom.conf"),
    Included("features.conf", "features_applicationmap_custom.conf", "applicationmap"),
    Included("manager.conf", "manager_custom.conf"),
)


def asterisk_version(program: str) -> templates.Version | None:
    """Ask the program for its version; None when there is no such program or no such answer."""
    try:
        done = subprocess.run(  # noqa: S603 - the administrator names the program
            [program, "-V"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.match(done.stdout)
    return (int(match.group(1)), int(match.group(2))) if match else None


def plan_setup(
    config: Config,
    version: templates.Version | None = None,
    enable_manager: bool = False,
    new_configuration: str = "",
) -> Plan:
    """Plan what is to be put on this machine's Asterisk; nothing is changed.

    Args:
        config: The configuration.
        version: Asterisk's version, which decides the kind of event filters.
        enable_manager: Whether to switch the manager interface on, on loopback.
        new_configuration: Text of the configuration file, when there is none yet.

    Raises:
        SetupError: It cannot be done; the message says why.
    """
    refuse_other_pbx(config, "asterisk")
    asterisk = config.asterisk
    for key, path, what in (
        ("config_dir", asterisk.config_dir, "its configuration folder (astetcdir)"),
        ("data_dir", asterisk.data_dir, "its data folder (astdatadir)"),
    ):
        if not path.is_dir():
            raise SetupError(
                f"{config.path}: asterisk.{key} = {path}: there is no such folder; "
                f"install Asterisk, or give {what}"
            )
    return _Planner(config, version, enable_manager, new_configuration).plan()


class _Planner(Planner):
    def __init__(
        self,
        config: Config,
        version: templates.Version | None,
        enable_manager: bool,
        new_configuration: str,
    ) -> None:
        etc = config.asterisk.config_dir
        super().__init__(config, etc, owner.asterisk_owner(etc), new_configuration)
        self._version = version
        self._enable = enable_manager

    def plan(self) -> Plan:
        plan = self._plan
        self._folder(self._etc / FOLDER, 0o755)
        self._folder(self._config.recordings.directory, 0o2770)
        self._own_configuration()
        secret = self._secret()
        self._ours(self._etc / FOLDER / "extensions.conf", templates.extensions_conf(self._config))
        self._ours(self._etc / FOLDER / "features.conf", templates.features_conf(self._config))
        self._ours(
            self._etc / FOLDER / "manager.conf",
            templates.manager_conf(self._config, secret, self._version),
            mode=0o640,
        )
        self._prompts(self._config.asterisk.sounds_dir)
        self._old_files()
        touched = [self._touched(included) for included in INCLUDED]
        self._write_record()
        # Last, when all that is included is there: Asterisk may be reloaded by others meanwhile.
        for change in touched:
            plan.add(change)
        self._notes()
        return plan

    def _secret(self) -> str:
        """Return the manager user's secret; plan its file where it is not given."""
        asterisk = self._config.asterisk
        file = asterisk.secret_file or self._config.path.absolute().with_name(SECRET_FILE)
        given = asterisk.secret.get_secret_value()
        if given:
            if file.exists():
                self._keep(file)
            return given
        secret = new_secret()
        self._secret_file(file, secret)
        return secret

    def _touched(self, included: Included) -> FileChange:
        path = self._etc / self._which(included)
        content = files.read(path)
        text = (content or b"").decode("latin-1")
        if f"{FOLDER}/{included.name}" in conf.includes(conf.without_block(text, path, False)):
            self._plan.notes.append(f"{path}: includes {FOLDER}/{included.name} already")
            return FileChange(path, content, content)
        lines = [f'#include "{FOLDER}/{included.name}"']
        whole_file = path.name == included.name
        if included.section and whole_file and not conf.has_section(text, included.section):
            lines.insert(0, f"[{included.section}]")
        elif included.section and whole_file and conf.find_block(text, path):
            lines = self._keep_header(text, path, lines, included.section)
        section = included.section if whole_file else ""
        new = conf.with_block(text, lines, path, section)
        known = self._before.touched.get(str(path))
        self._record.touched[str(path)] = known or Touched(
            existed=content is not None,
            newline_added=len(conf.without_block(new, path, False)) > len(text),
        )
        if included.name == "manager.conf":
            self._refuse_same_user(text, path)
            if self._enable and whole_file:
                new = conf.with_settings(new, "general", ENABLED, path)
        backup = path.with_name(path.name + BACKUP_SUFFIX)
        return FileChange(
            path, content, new.encode("latin-1"), 0o640, self._owner, ours=False, backup=backup
        )

    @staticmethod
    def _keep_header(text: str, path: Path, lines: list[str], section: str) -> list[str]:
        block = conf.find_block(text, path)
        own = text[block.start : block.end] if block else ""
        return [f"[{section}]", *lines] if conf.has_section(own, section) else lines

    def _which(self, included: Included) -> str:
        """The distribution's file for own additions where it has one and includes it."""
        if (self._etc / included.custom).is_file() and any(
            included.custom in conf.includes(files.text(path)) for path in self._etc.glob("*.conf")
        ):
            return included.custom
        return included.name

    def _refuse_same_user(self, text: str, path: Path) -> None:
        user = self._config.asterisk.username
        others = [*self._etc.glob("manager*.conf"), *self._etc.glob("manager.d/*.conf")]
        for other in others:
            if conf.has_section(text if other == path else files.text(other), user):
                raise SetupError(
                    f"{other}: has a manager user [{user}] already; rename that one, or choose "
                    f"another asterisk.username in {self._config.path}"
                )

    def _notes(self) -> None:
        notes = self._plan.notes
        if self._version is None:
            notes.append(
                "Asterisk's version is not known (--asterisk names the program), so the event "
                "filters are of the kind that every version knows, which costs Asterisk more"
            )
        manager = self._etc / "manager.conf"
        text = self._planned(manager)
        general = conf.settings(text, "general")
        remedy = f"in [general] of {manager}, or run setup with --enable-manager"
        if self._which(INCLUDED[-1]) != manager.name:
            remedy = f"in the settings of the distribution, which writes {manager}"
        if general.get("enabled", "no").lower() not in ("yes", "true", "on", "y", "t", "1"):
            notes.append(f"the manager interface is switched off: set enabled = yes {remedy}")
        address = general.get("bindaddr", "0.0.0.0")  # noqa: S104 - Asterisk's default
        if not _LOOPBACK.match(address):
            notes.append(
                f"the manager interface listens on {address}, which others can reach: set "
                f"bindaddr = 127.0.0.1 {remedy}"
            )
        self._note_data_dir()

    def _note_data_dir(self) -> None:
        said = data_dir_of(self._etc)
        if said and Path(said) != self._config.asterisk.data_dir:
            self._plan.notes.append(
                f"asterisk.conf says astdatadir => {said}, and {self._config.path} says "
                f"asterisk.data_dir = {self._config.asterisk.data_dir}: Asterisk will not find "
                "the prompts unless both are the same"
            )


def first_configuration(path: Path) -> tuple[Config, str]:
    """Return the configuration that setup makes where there is none, and its text.

    Raises:
        ConfigError: An environment variable cannot be used.
    """
    text = EXAMPLE.read_text(encoding="utf-8")
    config = parse_config(text, path)
    said = data_dir_of(config.asterisk.config_dir)
    default = f'# data_dir = "{config.asterisk.data_dir}"'
    if said and default in text:
        text = text.replace(default, f'data_dir = "{said}"')
        config = parse_config(text, path)
    return config, text


def data_dir_of(config_dir: Path) -> str:
    """Return what asterisk.conf says of the data folder (astdatadir); empty when it does not."""
    text = files.text(config_dir / "asterisk.conf")
    return conf.settings(text, "directories").get("astdatadir", "")
