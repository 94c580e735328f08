"""An administrator's FreeSWITCH folders, and a configuration of ours that points to them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.setup.conftest import Host

FREESWITCH = """\
<?xml version="1.0"?>
<document type="freeswitch/xml">
  <!--#comment
      Not read: <X-PRE-PROCESS cmd="include" data="nowhere/*.xml"/>
  -->
  <X-PRE-PROCESS cmd="include" data="vars.xml"/>
  <section name="configuration">
    <X-PRE-PROCESS cmd="include" data="autoload_configs/*.xml"/>
  </section>
  <section name="dialplan">
    <X-PRE-PROCESS cmd="include" data="dialplan/*.xml"/>
  </section>
</document>
"""
VARS = """\
<include>
  <X-PRE-PROCESS cmd="set" data="esl_port = 8021"/>
  <X-PRE-PROCESS cmd="stun-set" data="outside=stun:stun.example.com"/>
</include>
"""
EVENT_SOCKET = """\
<configuration name="event_socket.conf" description="Socket Client">
  <settings>
    <param name="listen-ip" value="127.0.0.1"/>
    <param name="listen-port" value="$${esl_port}"/>
    <!-- <param name="password" value="old-and-gone"/> -->
    <param name="password" value="theirs-12345"/>
    <param name="apply-inbound-acl" value="loopback.auto"/>
  </settings>
</configuration>
"""
OPEN = (
    EVENT_SOCKET.replace("127.0.0.1", "::")
    .replace("theirs-12345", "ClueCon")
    .replace('    <param name="apply-inbound-acl" value="loopback.auto"/>\n', "")
)
"""As FreeSWITCH comes."""

MODULES = """\
<configuration name="modules.conf">
  <modules>
    <load module="mod_event_socket"/>
    <load module="mod_commands"/>
    <load module="mod_dptools"/>
    <load module="mod_sndfile"/>
    <load module="mod_lua"/>
    <!-- <load module="mod_callcenter"/> -->
  </modules>
</configuration>
"""
USERS = """\
<include>
  <context name="default">
    <extension name="users">
      <condition field="destination_number" expression="^(3\\d\\d)$">
        <action application="bridge" data="user/$1"/>
      </condition>
    </extension>
    <X-PRE-PROCESS cmd="include" data="default/*.xml"/>
  </context>
</include>
"""
PUBLIC = """\
<include>
  <context name="public">
    <X-PRE-PROCESS cmd="include" data="public/*.xml"/>
  </context>
</include>
"""
SOCKET = "autoload_configs/event_socket.conf.xml"


@dataclass(frozen=True)
class FsHost(Host):
    """A machine with a FreeSWITCH; `data` is its `share` with scripts and sounds."""

    @property
    def socket(self) -> Path:
        return self.etc / SOCKET

    @property
    def password_file(self) -> Path:
        return self.toml.parent / "freeswitch.password"

    def password(self) -> str:
        return self.config().freeswitch.password.get_secret_value()


def make(root: Path, files: dict[str, str]) -> FsHost:
    host = FsHost(root / "etc", root / "share", root / "ours" / "callrec.toml")
    for folder in (host.data / "scripts", host.data / "sounds", host.toml.parent):
        folder.mkdir(parents=True)
    for name, text in files.items():
        path = host.etc / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    host.toml.write_text(
        f"pbx = 'freeswitch'\n[freeswitch]\nconfig_dir = '{host.etc}'\n"
        f"scripts_dir = '{host.data}/scripts'\nsounds_dir = '{host.data}/sounds'\n"
        f"[recordings]\ndirectory = '{root}/spool'\n"
        f"[catalogue]\nurl = 'sqlite:///{root}/catalogue.db'\n"
    )
    return host


FILES = {
    "freeswitch.xml": FREESWITCH,
    "vars.xml": VARS,
    SOCKET: EVENT_SOCKET,
    "autoload_configs/modules.conf.xml": MODULES,
    "dialplan/default.xml": USERS,
    "dialplan/public.xml": PUBLIC,
}


@pytest.fixture
def switch(tmp_path: Path) -> FsHost:
    """A FreeSWITCH with the usual files, and an event socket that is in order."""
    return make(tmp_path, FILES)
