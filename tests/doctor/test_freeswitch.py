"""The doctor's checks of FreeSWITCH, with answers that a sound one cannot be made to give.

What it can be made to give is in tests/freeswitch/test_doctor.py, on a real one.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from pathlib import Path

import pytest

from callrec_pbx.config import Config
from callrec_pbx.config.model import FreeSwitchSection, RecordingsSection
from callrec_pbx.doctor import access
from callrec_pbx.doctor.access import Listener
from callrec_pbx.doctor.careful import Check, carefully
from callrec_pbx.doctor.finding import Finding, Status
from callrec_pbx.doctor.freeswitch import dialplan, esl, files, scripts, state
from callrec_pbx.doctor.freeswitch.actions import Action, open_arguments
from callrec_pbx.doctor.freeswitch.examine import examine_freeswitch
from callrec_pbx.doctor.freeswitch.probe import EslProbe, lua, said, text
from callrec_pbx.pbx.errors import ActionFailedError, LinkDownError, UnsafeValueError
from callrec_pbx.setup.apply import apply
from callrec_pbx.setup.freeswitch import plan_setup
from callrec_pbx.setup.templates import freeswitch_files

UNKNOWN = "-ERR {} Command not found!"
PROFILES = """<?xml version="1.0" encoding="ISO-8859-1"?>
<profiles>
<profile><name>internal</name><type>profile</type><state>RUNNING (0)</state></profile>
<profile><name>external</name><type>profile</type><state>RUNNING (0)</state></profile>
<gateway><name>provider</name><type>gateway</type><state>REGED</state></gateway>
</profiles>"""


class Told:
    """Answers as told, by how a command begins; what nobody told it is not known to it."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def api(self, command: str, timeout_s: float | None = None) -> str:  # noqa: ARG002
        self.asked.append(command)
        known = [begin for begin in self.answers if command.startswith(begin)]
        answer = self.answers[max(known, key=len)] if known else UNKNOWN.format(command)
        if answer.startswith("-"):
            raise ActionFailedError(answer)
        return answer


def config(tmp_path: Path, **freeswitch: object) -> Config:
    (tmp_path / "spool").mkdir(exist_ok=True)
    return Config(
        path=tmp_path / "callrec.toml",
        pbx="freeswitch",
        freeswitch=FreeSwitchSection.model_validate(
            {"password": "quite-secret", "sounds_dir": tmp_path, "config_dir": tmp_path}
            | freeswitch
        ),
        recordings=RecordingsSection(directory=tmp_path / "spool"),
    )


async def findings(
    check: Check[EslProbe], answers: dict[str, str], config: Config
) -> list[Finding]:
    return await carefully({"check": check}, Told(answers), config)


async def one(check: Check[EslProbe], answers: dict[str, str], config: Config) -> Finding:
    (found,) = await findings(check, answers, config)
    assert bool(found.remedy) is (found.status is not Status.OK)
    return found


async def test_an_empty_answer_is_no_error() -> None:
    assert await said(Told({"global_getvar": "-ERR no reply"}), "global_getvar x") == ""
    with pytest.raises(ActionFailedError):
        await said(Told({}), "global_getvar x")


async def test_what_lua_writes_is_told_from_what_freeswitch_says() -> None:
    assert await lua(Told({"lua": "callrec:-ERR a file"}), "x") == "-ERR a file"
    assert await lua(Told({"lua": "callrec:"}), "x") == ""
    assert await lua(Told({"lua": "callrec:half\n-ERR Cannot execute script"}), "x") is None
    assert await lua(Told({"lua": "-ERR Cannot execute script"}), "x") is None
    assert await lua(Told({"lua": ""}), "x") is None
    assert await lua(Told({}), "x") is None


def test_a_text_for_lua_stays_a_text() -> None:
    assert text("it's \\ x") == r"'it\'s \\ x'"
    with pytest.raises(UnsafeValueError):
        text("a\nb")


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ("1.11.1-release", Status.OK),
        ("1.10.12", Status.OK),
        ("1.10.9", Status.WARN),
        ("2.0.0", Status.OK),
        ("1.8.7", Status.WARN),
        ("none", Status.WARN),
    ],
)
async def test_versions(tmp_path: Path, version: str, status: Status) -> None:
    found = await one(state.check_version, {"version": version}, config(tmp_path))
    assert found.status is status
    assert version in found.seen


async def test_a_recorder_that_is_not_there(tmp_path: Path) -> None:
    answers = dict.fromkeys(state.COMMANDS, "-ERR No such channel!")
    assert (await one(state.check_recorder, answers, config(tmp_path))).status is Status.OK
    del answers["uuid_record"]
    found = await one(state.check_recorder, answers, config(tmp_path))
    assert (found.status, "uuid_record" in found.seen) == (Status.FAIL, True)


async def test_clocks(tmp_path: Path) -> None:
    ours = int(time.time() * 1e6)
    for there, status in (
        (str(ours), Status.OK),
        (str(ours - 90_000_000), Status.WARN),
        (str(ours + 90_000_000), Status.WARN),
        ("soon", Status.WARN),
    ):
        found = await one(state.check_clock, {"strmicroepoch": there}, config(tmp_path))
        assert found.status is status, found
    assert "could not be checked" in found.seen


async def test_a_heartbeat_is_judged_by_the_clock_it_was_written_by(tmp_path: Path) -> None:
    """FreeSWITCH's clock may be far off; the listener runs all the same."""
    answers = {"strmicroepoch": "1000000000000000", "global_getvar": "999999999"}
    found = await one(state.check_heartbeat, answers, config(tmp_path))
    assert found.status is Status.OK
    answers["global_getvar"] = "999999000"
    found = await one(state.check_heartbeat, answers, config(tmp_path))
    assert (found.status, "1000 s ago" in found.seen) == (Status.WARN, True)
    answers["global_getvar"] = "yes"
    found = await one(state.check_heartbeat, answers, config(tmp_path))
    assert (found.status, "never" in found.seen) == (Status.WARN, True)


@pytest.mark.parametrize(
    ("trunks", "answer", "status", "part"),
    [
        (["external"], PROFILES, Status.OK, "external"),
        (["prov*"], PROFILES, Status.OK, "provider"),
        (["carrier*"], PROFILES, Status.FAIL, "carrier*"),
        (["external", "carrier*"], PROFILES, Status.WARN, "carrier*"),
        (["*ternal"], PROFILES, Status.WARN, "no phone is a line"),
        (["external"], "<profiles><profile>", Status.WARN, "cannot be read"),
        (["external"], UNKNOWN, Status.WARN, "cannot be listed"),
    ],
)
async def test_trunks(
    tmp_path: Path, trunks: list[str], answer: str, status: Status, part: str
) -> None:
    found = await one(state.check_trunks, {"sofia": answer}, config(tmp_path, trunks=trunks))
    assert found.status is status, found
    assert part in found.seen


def event_socket(**settings: str) -> dict[str, str]:
    params = "".join(f'<param name="{n}" value="{v}"/>' for n, v in settings.items())
    answer = (
        f'<configuration name="event_socket.conf"><settings>{params}</settings></configuration>'
    )
    return {"xml_locate": answer}


@pytest.mark.parametrize(
    ("sockets", "settings", "part"),
    [
        (["127.0.0.1"], {"listen-ip": "::"}, ""),
        (["::1", "127.0.0.2"], {}, ""),
        (["0.0.0.0"], {"apply-inbound-acl": "loopback.auto"}, "0.0.0.0"),
        (["127.0.0.1", "::"], {}, "at ::,"),
        ([], {"listen-ip": "127.0.0.1"}, ""),
        ([], {"listen-ip": "::"}, "at ::,"),
        ([], {"listen-ip": "192.0.2.1"}, "192.0.2.1"),
        ([], {}, ""),
    ],
)
async def test_where_it_listens(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sockets: list[str],
    settings: dict[str, str],
    part: str,
) -> None:
    found = [Listener(ipaddress.ip_address(one), 0) for one in sockets]
    monkeypatch.setattr(access, "listeners", lambda _port: found)
    finding = await one(esl.check_security, event_socket(**settings), config(tmp_path))
    assert finding.status is (Status.WARN if part else Status.OK), finding
    assert part in finding.seen
    if part:
        assert "--secure-event-socket" in finding.remedy


@pytest.mark.parametrize("where", ["configured", "loaded"])
async def test_the_password_that_everybody_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(access, "listeners", lambda _port: [])
    ours = {"password": "ClueCon"} if where == "configured" else {}
    loaded = {"password": "ClueCon"} if where == "loaded" else {}
    found = await one(esl.check_security, event_socket(**loaded), config(tmp_path, **ours))
    assert (found.status, "ClueCon" in found.seen) == (Status.FAIL, True)


async def test_without_lua_files_are_judged_by_their_permissions(tmp_path: Path) -> None:
    sounds = tmp_path / "callrec" / "en"
    sounds.mkdir(parents=True)
    (sounds / "announce.wav").write_bytes(b"")
    for answer, status in (("true", Status.OK), ("false", Status.FAIL)):
        for check in (files.check_spool, files.check_prompt_access):
            found = await one(check, {"file_exists": answer}, config(tmp_path))
            assert found.status is status, found


async def test_a_spool_that_freeswitch_may_not_write_for_another_reason(tmp_path: Path) -> None:
    """Rights beyond owner and mode, a read-only mount: FreeSWITCH itself says it."""
    answers = {"file_exists": "true", "lua": "callrec:/x: Read-only file system"}
    found = await one(files.check_spool, answers, config(tmp_path))
    assert (found.status, "Read-only" in found.seen) == (Status.FAIL, True)


async def test_a_lua_that_does_not_run(tmp_path: Path) -> None:
    answers = {"lua": "-ERR Cannot execute script", "module_exists mod_lua": "true"}
    found = await one(scripts.check_scripts, answers, config(tmp_path))
    assert (found.status, "runs no script" in found.seen) == (Status.FAIL, True)
    answers["module_exists mod_lua"] = "false"
    assert await findings(scripts.check_scripts, answers, config(tmp_path)) == []


async def test_scripts_of_a_freeswitch_whose_folders_are_not_seen_here(tmp_path: Path) -> None:
    """In a container of its own, with another folder than the one that setup writes to."""
    for folder in ("etc", "scripts", "sounds"):
        (tmp_path / folder).mkdir()
    (tmp_path / "etc" / "freeswitch.xml").write_text(
        '<document><section name="configuration"/></document>'
    )
    settings = config(
        tmp_path,
        config_dir=tmp_path / "etc",
        scripts_dir=tmp_path / "scripts",
        sounds_dir=tmp_path / "sounds",
    )
    apply(plan_setup(settings))
    begin = "lua ~stream:write('callrec:') "
    answers = {
        "global_getvar script_dir": "/of/the/container",
        begin: "callrec:",
        "lua callrec_common.lua": "-ERR no reply",
    }
    for name, content in freeswitch_files(settings).items():
        path = f"/of/the/container/{name}"
        answers[f"{begin}local f=io.open('{path}'"] = f"callrec:+{content.decode()}"
    assert (await one(scripts.check_scripts, answers, settings)).status is Status.OK
    answers[f"{begin}local f=io.open('/of/the/container/callrec_key.lua'"] = "callrec:+-- old"
    found = await one(scripts.check_scripts, answers, settings)
    assert (found.status, "runs others" in found.seen) == (Status.WARN, True)
    assert "set freeswitch.scripts_dir to /of/the/container" in found.remedy


@pytest.mark.parametrize(
    ("expression", "data", "open_"),
    [
        (r"^(3\d\d)$", "inbound $1 $1", []),
        (r"^(?:\+|00)49(\d{3,12})$", "inbound - $1", []),
        (r"^([0-9*#]+)-([a-z]\w*)$", "inbound $1 $2", []),
        (r"^4(3\d\d)$", "inbound $1 ${destination_number}", []),
        (r"^(.*)$", "inbound $1", ["$1 of ^(.*)$"]),
        (r"^(3\d\d)(.*)$", "inbound $1", []),
        (r"^(3\d\d)(.*)$", "inbound $1 $2", [r"$2 of ^(3\d\d)(.*)$"]),
        (r"^((\d)(\S+))$", "inbound $2 $1", [r"$1 of ^((\d)(\S+))$"]),
        (r"^([A-z]+)$", "inbound $1", ["$1 of ^([A-z]+)$"]),
        (r"^([^,]+)$", "inbound $1", ["$1 of ^([^,]+)$"]),
        ("", "inbound $1", ["$1 of "]),
        (r"^(3\d\d)", "inbound $1 ${destination_number}", ["${destination_number}"]),
        (r"^(3\d\d)$", "inbound ${caller_id_number}", ["${caller_id_number}"]),
        (r"^(3\d\d)$", "inbound - ${sip_h_X-Line}", ["${sip_h_X-Line}"]),
        (r"^0(\d+)$", "outbound ${user_name}", []),
        (r"^0(\d+)$", "inbound - dialled", []),
    ],
)
def test_arguments_that_a_caller_can_fill(expression: str, data: str, open_: list[str]) -> None:
    action = Action("c", "e", "lua", data, "destination_number", expression)
    assert list(open_arguments(action)) == open_


async def test_a_dialplan_that_cannot_be_asked_for_or_comes_from_elsewhere(tmp_path: Path) -> None:
    answers = {
        "global_getvar": "-ERR no reply",
        "xml_locate dialplan": "can't find anything",
        "xml_locate": "can't find anything",
        "xml_locate configuration configuration name xml_curl.conf": (
            '<configuration><bindings><binding><param name="gateway-url" value="http://x" '
            'bindings="directory|dialplan"/></binding></bindings></configuration>'
        ),
        "xml_locate configuration configuration name lua.conf": (
            '<configuration><settings><param name="xml-handler-bindings" value="directory"/>'
            "</settings></configuration>"
        ),
    }
    found = await one(dialplan.check_dialplan, answers, config(tmp_path))
    assert found.status is Status.WARN
    assert "xml_curl.conf" in found.seen
    assert "lua.conf" not in found.seen


async def test_a_check_that_gets_no_answer_does_not_end_the_others(tmp_path: Path) -> None:
    class Gone(Told):
        async def api(self, command: str, timeout_s: float | None = None) -> str:  # noqa: ARG002
            raise LinkDownError("gone")

    checks = {"version": state.check_version, "clock": state.check_clock}
    found = await carefully(checks, Gone({}), config(tmp_path))
    assert [(one.check, one.status) for one in found] == [
        ("version", Status.WARN),
        ("clock", Status.WARN),
    ]


@pytest.mark.parametrize(
    ("greeting", "part"),
    [
        (
            b"Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n",
            "Access Denied",
        ),
        (b"", "0.2 s"),
    ],
)
async def test_an_event_socket_that_does_not_let_us_in(
    tmp_path: Path, greeting: bytes, part: str
) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        settings = config(tmp_path, port=port, connect_timeout_s=0.2 if not greeting else 5)
        (found,) = await examine_freeswitch(settings)
    assert (found.check, found.status) == ("esl", Status.FAIL)
    assert part in found.seen
    assert "event_socket.conf.xml" in found.remedy


def test_addresses_of_listening_sockets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As the kernel writes them on a little-endian machine."""
    monkeypatch.setattr("sys.byteorder", "little")
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
    row = "   0: {}:1F55 0:0000 {} 00000000:00000000 00:00000000 00000000  1000        0 1\n"
    four = [("0100007F", "0A"), ("0100007F", "01"), ("0" * 8, "0A")]
    six = [("0" * 24 + "01000000", "0A"), ("0" * 16 + "FFFF00000100007F", "0A")]
    (tmp_path / "tcp").write_text(head + "".join(row.format(*one) for one in four))
    (tmp_path / "tcp6").write_text(head + "".join(row.format(*one) for one in six))
    found = access.listeners(0x1F55, (str(tmp_path / "tcp"), str(tmp_path / "tcp6"), "/nowhere"))
    assert [str(one.address) for one in found] == ["127.0.0.1", "0.0.0.0", "::1", "127.0.0.1"]
    assert {one.uid for one in found} == {1000}
    assert access.listeners(1, (str(tmp_path / "tcp"),)) == []
