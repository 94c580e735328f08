"""One FreeSWITCH process with folders of its own."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import re
import shlex
import shutil
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tests.bed.esl import Esl, EslError, event
from tests.bed.server import POLL_S, BedError, Server, free_port

ESL_PASSWORD = "bed-secret"

PROFILES = ("internal", "external")
"""The SIP profiles that have to run before a call can be made."""

MODULES = """
mod_console mod_logfile mod_event_socket mod_sofia mod_loopback mod_commands mod_conference mod_db
mod_dptools mod_expr mod_fifo mod_hash mod_voicemail mod_valet_parking mod_callcenter
mod_dialplan_xml mod_spandsp mod_sndfile mod_native_file mod_local_stream mod_tone_stream mod_lua
mod_say_en
""".split()  # noqa: SIM905
"""What is loaded; all of them are in the distributions' packages and in a usual build."""

_EVENT_SOCKET = "autoload_configs/event_socket.conf.xml"
_PARAM = re.compile(r'<param\s+name="(?P<name>[^"]+)"\s+value="(?P<value>[^"]*)"')
_TELLING = re.compile(r"\[(NOTICE|WARNING|ERR|CRIT|ALERT)\]|EXECUTE \[depth")
"""What a failure message shows: not the SDP, nor what is for debugging FreeSWITCH itself."""


@dataclass(frozen=True, slots=True)
class Installation:
    """Where FreeSWITCH is.

    Attributes:
        program: The program.
        modules: Its module folder.
        fs_cli: Its command line client.
    """

    program: Path
    modules: Path
    fs_cli: Path


@functools.cache
def installation() -> Installation:
    """Find a FreeSWITCH: below FREESWITCH_PREFIX, or on the PATH.

    Raises:
        BedError: There is none; in one line, with the remedy.
    """
    prefix = Path(os.environ.get("FREESWITCH_PREFIX") or "/usr/local/freeswitch")
    found = prefix / "bin" / "freeswitch"
    if not found.is_file():
        on_path = shutil.which("freeswitch")
        if on_path is None:
            raise BedError(
                f"no FreeSWITCH in {prefix} (FREESWITCH_PREFIX) nor on the PATH: install "
                "FreeSWITCH 1.10.12 or newer with mod_callcenter, mod_valet_parking and mod_lua"
            )
        found = Path(on_path).resolve()
        prefix = found.parent.parent
    for modules in (prefix / "lib/freeswitch/mod", prefix / "mod", Path("/usr/lib/freeswitch/mod")):
        if (modules / "mod_sofia.so").is_file():
            break
    else:
        raise BedError(f"{found} has no mod_sofia in lib/freeswitch/mod: install its modules")
    missing = [name for name in MODULES if not (modules / f"{name}.so").is_file()]
    if missing:
        raise BedError(f"FreeSWITCH in {modules} lacks {', '.join(missing)}: install them")
    return Installation(found, modules, found.with_name("fs_cli"))


class FreeSwitchServer(Server):
    """One FreeSWITCH: its folders, its process, its event socket.

    Attributes:
        scripts: Lua scripts (script_dir).
        sounds: Sounds (sounds_dir); `bed-moh` there is the music on hold.
        recordings: recordings_dir.
        esl_port: Port of the event socket on 127.0.0.1, as the configuration says now.
        esl_password: Its password, as the configuration says now.
        esl: The bed's own connection to it while the server runs.
        wakes: Whether it has its first presence event behind it when it is up, as where phones
            have registered.
    """

    stop_s: ClassVar[float] = 25.0

    def __init__(self, name: str, bed_dir: Path) -> None:
        super().__init__(name, bed_dir)
        self.where = installation()
        self.scripts = self.base / "scripts"
        self.sounds = self.base / "sounds"
        self.recordings = self.base / "recordings"
        self._first_port = free_port("127.0.0.1", socket.SOCK_STREAM)
        self._esl: Esl | None = None
        self.wakes = True

    @property
    def cli(self) -> Path:
        """A script that runs a command with fs_cli."""
        return self.base / "fs_cli"

    @property
    def esl(self) -> Esl:
        """The bed's event socket.

        Raises:
            BedError: The server does not run.
        """
        if self._esl is None:
            raise BedError(f"{self.name} is not running")
        return self._esl

    @property
    def esl_port(self) -> int:
        """Port of the event socket on 127.0.0.1, as the configuration says now."""
        return int(self._event_socket().get("listen-port", self._first_port))

    @property
    def esl_password(self) -> str:
        """Password of the event socket, as the configuration says now."""
        return self._event_socket().get("password", ESL_PASSWORD)

    def _event_socket(self) -> dict[str, str]:
        with contextlib.suppress(FileNotFoundError):
            text = re.sub(
                r"<!--.*?-->", "", (self.etc / _EVENT_SOCKET).read_text(), flags=re.DOTALL
            )
            return {match["name"]: match["value"] for match in _PARAM.finditer(text)}
        return {}

    def write_config(self, files: dict[str, str]) -> None:
        """Write the folders, the general configuration, and these files into `etc`."""
        for folder in self._folders().values():
            folder.mkdir(parents=True, exist_ok=True)
        for name, text in {**self._general_files(), **files}.items():
            path = self.etc / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def _folders(self) -> dict[str, Path]:
        own = ("db", "run", "cache", "storage", "temp", "certs", "htdocs", "grammar")
        return {
            "conf": self.etc,
            "log": self.logs,
            "scripts": self.scripts,
            "sounds": self.sounds,
            "recordings": self.recordings,
            **{name: self.base / name for name in own},
        }

    def _general_files(self) -> dict[str, str]:
        def configuration(name: str, **settings: str) -> str:
            params = "".join(
                f'    <param name="{key.replace("_", "-")}" value="{value}"/>\n'
                for key, value in settings.items()
            )
            return (
                f'<configuration name="{name}.conf">\n  <settings>\n{params}  </settings>\n'
                "</configuration>\n"
            )

        loads = "".join(f'    <load module="{name}"/>\n' for name in MODULES)
        return {
            "freeswitch.xml": (
                '<?xml version="1.0"?>\n<document type="freeswitch/xml">\n'
                '  <X-PRE-PROCESS cmd="include" data="vars.xml"/>\n'
                + "".join(
                    f'  <section name="{section}">\n'
                    f'    <X-PRE-PROCESS cmd="include" data="{folder}/*.xml"/>\n'
                    "  </section>\n"
                    for section, folder in (
                        ("configuration", "autoload_configs"),
                        ("dialplan", "dialplan"),
                        ("directory", "directory"),
                        ("languages", "lang"),
                    )
                )
                + "</document>\n"
            ),
            "lang/en.xml": (
                '<include>\n<language name="en" say-module="en" sound-prefix="$${sounds_dir}">\n'
                "<phrases><macros></macros></phrases>\n</language>\n</include>\n"
            ),
            "autoload_configs/modules.conf.xml": (
                f'<configuration name="modules.conf">\n  <modules>\n{loads}  </modules>\n'
                "</configuration>\n"
            ),
            "autoload_configs/console.conf.xml": configuration("console", loglevel="crit"),
            "autoload_configs/logfile.conf.xml": (
                '<configuration name="logfile.conf">\n  <settings>\n  </settings>\n  <profiles>\n'
                '    <profile name="default">\n      <settings>\n'
                f'        <param name="logfile" value="{self.log_file}"/>\n'
                '        <param name="uuid" value="true"/>\n      </settings>\n      <mappings>\n'
                '        <map name="all" value="debug,info,notice,warning,err,crit,alert"/>\n'
                "      </mappings>\n    </profile>\n  </profiles>\n</configuration>\n"
            ),
            _EVENT_SOCKET: configuration(
                "event_socket",
                nat_map="false",
                listen_ip="127.0.0.1",
                listen_port=str(self._first_port),
                password=ESL_PASSWORD,
                apply_inbound_acl="loopback.auto",
            ),
            "autoload_configs/acl.conf.xml": (
                '<configuration name="acl.conf">\n  <network-lists>\n  </network-lists>\n'
                "</configuration>\n"
            ),
            "autoload_configs/lua.conf.xml": configuration("lua"),
            "autoload_configs/hash.conf.xml": configuration("hash"),
            "autoload_configs/conference.conf.xml": configuration("conference"),
            "autoload_configs/db.conf.xml": configuration("db"),
            "autoload_configs/fifo.conf.xml": configuration("fifo"),
            "autoload_configs/timezones.conf.xml": (
                '<configuration name="timezones.conf">\n  <timezones>\n  </timezones>\n'
                "</configuration>\n"
            ),
        }

    def _command(self) -> list[str]:
        folders = [word for name, path in self._folders().items() for word in (f"-{name}", path)]
        return [
            *("setpriv", "--pdeathsig", "KILL", str(self.where.program)),
            *("-nonat", "-nonatmap", "-nf", "-nc", "-np", "-nocal"),
            *map(str, folders),
            *("-mod", str(self.where.modules)),
        ]

    async def _connect(self) -> None:
        while self._esl is None:
            self._check_starting()
            try:
                self._esl = await Esl.connect(self.esl_port, self.esl_password)
            except (OSError, EslError):
                await asyncio.sleep(POLL_S)
        while True:
            self._check_starting()
            status = await self.esl.api("sofia status")
            running = re.findall(r"^\s*(\S+)\s+profile\s.*RUNNING", status, flags=re.MULTILINE)
            ready = (await self.esl.api("status")).partition(" is ready")[1]
            if ready and set(PROFILES) <= set(running):
                break
            await asyncio.sleep(POLL_S)
        if self.wakes:
            await self._esl.command("sendevent PRESENCE_OUT")
            await self.events_pass()
        self._write_cli()

    async def events_pass(self) -> None:
        """Wait until no event is held back: at its first presence event FreeSWITCH waits 0.5 s."""
        mark = self.esl.mark()
        await self.esl.api("version")
        await self.esl.wait_for(event("API", API_Command="version"), since=mark)

    def _write_cli(self) -> None:
        client = [str(self.where.fs_cli), "-H", "127.0.0.1", "-P", str(self.esl_port)]
        client += ["-p", self.esl_password]
        self.cli.write_text(f'#!/bin/sh\nexec {shlex.join(client)} "$@"\n')
        self.cli.chmod(self.cli.stat().st_mode | stat.S_IXUSR)

    async def _disconnect(self) -> None:
        esl, self._esl = self._esl, None
        if esl is not None:
            await esl.close()

    async def rx(self, command: str) -> str:
        """Run an API command and return its output."""
        return await self.esl.api(command)

    async def reload(self) -> None:
        """Read the configuration again, as after an edit."""
        await self.rx("reloadxml")

    async def hang_up_all(self) -> None:
        """Hang up every channel; nothing where the connection is lost."""
        if not self.esl.closed:
            await self.rx("hupall NORMAL_CLEARING")

    async def channels(self) -> str:
        """Return the channels there are as text; empty for none, or a lost connection."""
        if self.esl.closed or (await self.rx("show channels count")).strip() == "0 total.":
            return ""
        return await self.rx("show channels")

    def _telling(self, lines: list[str]) -> list[str]:
        return [line for line in lines if _TELLING.search(line)]
