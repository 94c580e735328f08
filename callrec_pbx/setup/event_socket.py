"""FreeSWITCH's event socket: there is one, which others use too, so it is left alone unless asked.

Source: src/mod/event_handlers/mod_event_socket/mod_event_socket.c of FreeSWITCH 1.11 (config).
"""

import re
from dataclasses import dataclass
from pathlib import Path

from callrec_pbx.audio.manifest import sha256_of
from callrec_pbx.config import Config
from callrec_pbx.config.checks import password as check_password
from callrec_pbx.config.load import PASSWORD_FILE
from callrec_pbx.setup import files, fsxml, templates
from callrec_pbx.setup.errors import SetupError
from callrec_pbx.setup.plan import FileChange, Owner
from callrec_pbx.setup.planner import BACKUP_SUFFIX, FOLDER, Planner, new_secret
from callrec_pbx.setup.record import RECORD, Replaced, load

CONFIGURATION = "event_socket.conf"
FILE = Path("autoload_configs") / "event_socket.conf.xml"
DEFAULT_PORT = 8021
DEFAULT_ADDRESS = "127.0.0.1"
PUBLIC_PASSWORD = "ClueCon"  # noqa: S105 - everybody knows it, that is the trouble
EVERYWHERE = ("::", "0.0.0.0", "*")  # noqa: S104 - to warn of them
DEFAULT_ACL = "loopback.auto"
OPTION = "--secure-event-socket"

_LOOPBACK = re.compile(r"^(127\.\d+\.\d+\.\d+|::1|localhost)$")


@dataclass(frozen=True, slots=True)
class Login:
    """How somebody gets into an event socket of this machine."""

    host: str
    port: int
    password: str


def variables(config: Config) -> dict[str, str]:
    """Return what FreeSWITCH itself sets for its preprocessor, as far as we know."""
    freeswitch = config.freeswitch
    return {
        "script_dir": str(freeswitch.scripts_dir),
        "sounds_dir": str(freeswitch.sounds_dir),
        "sound_prefix": str(freeswitch.sounds_dir),
    }


def login_of(text: str) -> Login | None:
    """Return what a configuration says; None when it says nothing of the event socket."""
    said = fsxml.settings(text, CONFIGURATION)
    if said is None:
        return None
    values = dict(said)
    port = values.get("listen-port", "")
    number = int(port) if re.fullmatch(r"\d{1,5}", port) else 0
    address = values.get("listen-ip") or DEFAULT_ADDRESS
    host = DEFAULT_ADDRESS if address in EVERYWHERE else address
    return Login(host, number or DEFAULT_PORT, values.get("password") or PUBLIC_PASSWORD)


def is_of(change: FileChange) -> bool:
    """Whether the file is, or was, that of the event socket."""
    contents = (change.before, change.after)
    names = change.path.suffix == ".xml"
    return names and any(c and login_of(c.decode("latin-1")) is not None for c in contents)


def port_of(config: Config) -> int:
    """Return the port that the event socket listens on; 0 when that is not known.

    Raises:
        SetupError: FreeSWITCH's configuration cannot be read.
    """
    etc = config.freeswitch.config_dir
    if not (etc / "freeswitch.xml").is_file():
        return 0
    login = login_of(fsxml.whole(etc, variables(config)).text)
    return login.port if login else 0


def logins(config: Config, changed: FileChange | None) -> list[Login]:
    """Return what may let us into the FreeSWITCH that runs; first what its files say now.

    Args:
        config: The configuration.
        changed: What setup has just done to the event socket's file, if anything.

    Raises:
        SetupError: FreeSWITCH's configuration cannot be read.
    """
    etc = config.freeswitch.config_dir
    found = [login_of(fsxml.whole(etc, variables(config)).text)]
    record = load(etc / FOLDER / RECORD)
    kept = [Path(replaced.backup) for replaced in record.replaced.values()] if record else []
    contents = [changed.before if changed else None, *(files.read(path) for path in kept)]
    found += [login_of(content.decode("latin-1")) for content in contents if content]
    password = config.freeswitch.password.get_secret_value()
    if password:
        found.append(Login(config.freeswitch.host, config.freeswitch.port, password))
    found.append(Login(DEFAULT_ADDRESS, DEFAULT_PORT, PUBLIC_PASSWORD))
    return list(dict.fromkeys(login for login in found if login))


class EventSocketPlanner(Planner):
    """Plans the event socket, and files of ours in folders of the administrator's."""

    def __init__(self, config: Config, etc: Path, who: Owner, new_configuration: str) -> None:
        super().__init__(config, etc, who, new_configuration)
        self._late: list[FileChange] = []

    def _place(
        self,
        path: Path,
        content: bytes,
        mode: int = 0o644,
        hidden: tuple[str, ...] = (),
        keep_edits: bool = False,
    ) -> None:
        """Plan a file of ours where somebody else may have one of that name.

        Args:
            path: The file.
            content: What is to be in it.
            mode: Its permissions.
            hidden: Secrets in it.
            keep_edits: Whether to keep a copy also of what others made of a file of ours.
        """
        before, name = files.read(path), str(path)
        replaced = self._before.replaced.get(name)
        known = replaced.sha256 if replaced else self._before.files.get(name)
        edited = known is not None and before is not None and sha256_of(before) != known
        if replaced is None and (
            before is None
            or before == content
            or (known is not None and not (edited and keep_edits))
        ):
            self._folder(path.parent, 0o755)
            self._ours(path, content, mode, hidden=hidden)
            return
        backup = Path(replaced.backup) if replaced else None
        copy = None
        if before is not None and (known is None or (edited and keep_edits)):
            copy = _free(path)
            self._plan.notes.append(f"{path}: what was there before is kept as {copy}")
        if backup is None or not backup.exists():
            backup = copy or _free(path)
        self._record.replaced[name] = Replaced(sha256_of(content), str(backup))
        self._late.append(
            FileChange(
                path,
                before,
                content,
                mode,
                self._owner,
                backup=copy,
                take=True,
                hidden=(*hidden, *fsxml.secrets_of(before or b"")),
            )
        )

    def _old_files(self) -> None:
        """Plan the removal of what is no longer installed, and remember what was replaced."""
        for name, replaced in self._before.replaced.items():
            if name not in self._record.files:
                self._record.replaced.setdefault(name, replaced)
        super()._old_files()

    def _event_socket(self, config: fsxml.Whole, secure: bool) -> None:
        text = config.text
        there = login_of(text)
        offset = fsxml.place_of(text, CONFIGURATION)
        path = config.file_at(offset) if offset is not None else None
        path = path or self._etc / FILE
        if there is not None and not secure and not self._made(path):
            self._take_over(text, path, there)
            return
        if there is not None:
            _refuse_shared(path)
        elif not fsxml.includes(config, path):
            self._plan.notes.append(
                f"{path}: freeswitch.xml does not include it, so that FreeSWITCH does not see it: "
                "include autoload_configs/*.xml in its section of the configuration"
            )
        freeswitch = self._config.freeswitch
        port = freeswitch.port if there is None or self._made(path) else there.port
        self._note_place(path, Login(DEFAULT_ADDRESS, port, ""))
        password = self._password()
        content = templates.event_socket_conf(port, password)
        before = files.read(path)
        self._place(path, content, 0o640, (password,), keep_edits=True)
        if before is not None and before != content:
            self._plan.notes.append(
                f"fs_cli, and whatever else uses the event socket, needs the password of "
                f"{self._password_file()} from now on; for fs_cli write it into ~/.fs_cli_conf: "
                f"[default], then port => {port} and password => ... on lines of their own"
            )

    def _made(self, path: Path) -> bool:
        """Whether an earlier setup has made the file, and nobody has changed it since."""
        name, content = str(path), files.read(path)
        replaced = self._before.replaced.get(name)
        known = replaced.sha256 if replaced else self._before.files.get(name)
        return content is not None and sha256_of(content) == known

    def _password_file(self) -> Path:
        usual = self._config.path.absolute().with_name(PASSWORD_FILE)
        return self._config.freeswitch.password_file or usual

    def _password(self) -> str:
        """Return the password for ours; plan its file where there is none."""
        given = self._config.freeswitch.password.get_secret_value()
        if given == PUBLIC_PASSWORD:
            raise SetupError(
                f"{self._config.path} or {self._password_file()}: freeswitch.password is the one "
                "that everybody knows; take it out, and setup makes one"
            )
        if given:
            if self._password_file().exists():
                self._keep(self._password_file())
            return given
        password = new_secret()
        self._secret_file(self._password_file(), password)
        return password

    def _take_over(self, text: str, path: Path, there: Login) -> None:
        """Leave the event socket as it is, and learn how to get in."""
        file = self._password_file()
        given = self._config.freeswitch.password.get_secret_value()
        ours = self._made(file)
        self._keep(path)
        self._note_place(path, there)
        if not _usable(there.password):
            self._plan.notes.append(
                f"{path}: the event socket's password has characters that callrec-pbx does not "
                f"take, or more than 128: choose another, or run setup with {OPTION}"
            )
        elif there.password == PUBLIC_PASSWORD:
            unused = " callrec-pbx is not let in before you change it:" * (given != PUBLIC_PASSWORD)
            self._plan.notes.append(
                f"{path}: the event socket has the password that everybody knows, and whoever can "
                f"reach it can do all that FreeSWITCH can.{unused} run setup with {OPTION}, or "
                "choose another password there and run setup again"
            )
        elif not given or (ours and given != there.password):
            self._secret_file(file, there.password)
        elif given != there.password:
            self._plan.notes.append(
                f"{path}: the event socket's password is not that of {self._config.path} or "
                f"{file}, so the listener is not let in: make them the same, or run setup with "
                f"{OPTION}"
            )
        if file.exists() and str(file) not in self._record.files:
            self._keep(file)
        self._note_dangers(text, path)

    def _note_place(self, path: Path, there: Login) -> None:
        """Note where our configuration looks for the event socket elsewhere than it is."""
        freeswitch = self._config.freeswitch
        if there.port != freeswitch.port:
            self._plan.notes.append(
                f"{path}: the event socket listens on port {there.port}, and {self._config.path} "
                f"says freeswitch.port = {freeswitch.port}: write port = {there.port} there"
            )
        if there.host not in (DEFAULT_ADDRESS, "localhost", freeswitch.host):
            self._plan.notes.append(
                f"{path}: the event socket listens on {there.host} only, and {self._config.path} "
                f"says freeswitch.host = {freeswitch.host}: write host = {there.host!r} there"
            )

    def _note_dangers(self, text: str, path: Path) -> None:
        said = fsxml.settings(text, CONFIGURATION) or []
        address = dict(said).get("listen-ip") or DEFAULT_ADDRESS
        if _LOOPBACK.match(address):
            return
        lists = [value for name, value in said if name.lower() == "apply-inbound-acl" and value]
        kept_out = f"the access list {', '.join(lists)}" if lists else "its default access list"
        self._plan.notes.append(
            f"{path}: the event socket listens on {address}, which others can reach; all that "
            f"keeps them out is {kept_out}: set listen-ip to {DEFAULT_ADDRESS} and "
            f"apply-inbound-acl to {DEFAULT_ACL} there, or run setup with {OPTION}"
        )


def _usable(password: str) -> bool:
    try:
        check_password(password)
    except ValueError:
        return False
    return True


def _refuse_shared(path: Path) -> None:
    """Refuse to replace a file that holds more than the event socket."""
    found = [one for one in fsxml.elements(files.text(path)) if one.tag == "configuration"]
    if path.name == "freeswitch.xml" or len(found) != 1:
        raise SetupError(
            f"{path}: holds more than the event socket, so it is not replaced; change it there: "
            f"listen-ip to {DEFAULT_ADDRESS}, apply-inbound-acl to {DEFAULT_ACL}, and a password "
            f"of 8 to 128 letters and digits; then run setup without {OPTION}"
        )


def _free(path: Path) -> Path:
    """Return a name for a copy that is not taken."""
    number, copy = 1, path.with_name(path.name + BACKUP_SUFFIX)
    while copy.exists():
        number += 1
        copy = path.with_name(f"{path.name}{BACKUP_SUFFIX}.{number}")
    return copy
