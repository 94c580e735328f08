"""The test bed with FreeSWITCH does what its tests rely on."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from tests.bed.bed import Bed
from tests.bed.checks import TALK_S, BedChecks, Witness
from tests.bed.esl import Esl, EslError, event
from tests.bed.freeswitch import installation
from tests.bed.pbx_config import PbxOptions
from tests.bed.server import BedError


class EslWitness(Witness):
    """By the bed's own event socket."""

    def __init__(self, esl: Esl) -> None:
        self._esl = esl
        self._mark = esl.mark()

    async def keys(self, count: int) -> list[tuple[str, str]]:
        pressed: list[tuple[str, str]] = []
        mark = self._mark
        while len(pressed) < count:
            found = await self._esl.wait_for(event("DTMF"), since=mark)
            mark = self._esl.log.index(found, mark) + 1
            line = found["Channel-Name"].removeprefix("sofia/internal/desk")[:3]
            outside = found["Channel-Name"].startswith("sofia/external/")
            pressed.append(("trunk" if outside else line, found["DTMF-Digit"]))
        return pressed

    async def transfer_begun(self) -> None:
        collecting = event("CHANNEL_EXECUTE", Application="read")
        await self._esl.wait_for(collecting, since=self._mark)

    async def held(self, now: bool) -> None:
        name = "CHANNEL_HOLD" if now else "CHANNEL_UNHOLD"
        await self._esl.wait_for(event(name), since=self._mark)

    async def parked(self) -> str:
        parked = event("valet_parking::info", Action="hold")
        return (await self._esl.wait_for(parked, since=self._mark))["Valet-Extension"]

    async def unparked(self) -> None:
        await self._esl.wait_for(event("valet_parking::info", Action="bridge"), since=self._mark)

    async def caller(self) -> tuple[str, str]:
        first = await self._esl.wait_for(event("CHANNEL_CREATE"), since=self._mark)
        return first["Caller-Caller-ID-Number"], first["Caller-Caller-ID-Name"]


class TestBed(BedChecks):
    """What every bed does, on FreeSWITCH."""

    kind = "freeswitch"

    def witness(self, bed: Bed) -> Witness:
        return EslWitness(bed.esl)


@pytest.mark.parametrize(
    ("number", "name", "number_seen", "name_seen"),
    [
        ("../../etc/x", "../../etc/x", "../../etc/x", "../../etc/x"),
        ("$(touch x)|`y`", '"; touch /tmp/pwned; "', "$(touch x)|`y`", "; touch /tmp/pwned; "),
        ("7" * 300, "n" * 300, "7" * 300, "n" * 255),  # as much as each of the two takes
        ("1", "\N{GRINNING FACE}", "1", "\N{GRINNING FACE}"),
        ("1", "a,b=c'd[x]{y}", "1", "a,b=c'd[x]{y}"),
    ],
)
async def test_a_caller_id_reaches_the_pbx(
    bed: Bed, number: str, name: str, number_seen: str, name_seen: str
) -> None:
    witness = EslWitness(bed.esl)
    caller = await bed.far.call_in(number, "301", name)
    await (await bed.far.ringing("301")).answer()
    await caller.wait_up()
    seen = await witness.caller()
    assert seen[0] == number_seen
    assert name_seen in seen[1]


@pytest.mark.parametrize(
    "number", ["a\r\nForged: yes", "a\r\n\r\nContent-Length: 1\n\nForged: yes"]
)
async def test_a_number_with_line_breaks_stays_in_its_header(bed: Bed, number: str) -> None:
    mark = bed.esl.mark()
    await bed.far.call_in(number, "301")
    created = await bed.esl.wait_for(event("CHANNEL_CREATE"), since=mark)
    assert created["Caller-Caller-ID-Number"] == number
    assert not any("Forged" in found for found in bed.esl.since(mark))


async def test_a_line_has_to_know_its_password(bed: Bed) -> None:
    mark = bed.esl.mark()
    path = bed.far.server.etc / "pjsip.conf"
    known = path.read_text()
    path.write_text(known.replace("password = secret-of-305", "password = guessed"))
    try:
        await bed.far.server.rx("module reload res_pjsip.so")
        caller = await bed.far.line_calls("305", "302")
        assert (await caller.wait_hangup())["Cause"] != "16"
        assert not [found for found in bed.esl.since(mark) if found.event == "CHANNEL_ANSWER"]
    finally:
        path.write_text(known)
        await bed.far.server.rx("module reload res_pjsip.so")


async def test_what_was_done_to_a_call_is_seen(bed: Bed) -> None:
    mark, path = bed.esl.mark(), bed.dir / "seen.wav"
    caller = await bed.far.call_in("1", "301")
    await (await bed.far.ringing("301")).answer()
    await caller.wait_up()
    uuid = (await bed.esl.wait_for(event("CHANNEL_BRIDGE"), since=mark))["Unique-ID"]
    port, password = bed.freeswitch.esl_port, bed.freeswitch.esl_password
    async with contextlib.AsyncExitStack() as stack:
        other = await Esl.connect(port, password, events=False)
        stack.push_async_callback(other.close)
        await other.api(f"uuid_record {uuid} start {path}", check=True)
        await other.api(f"uuid_record {uuid} mask {path}", check=True)
        await bed.esl.wait_for(event("RECORD_START", Unique_ID=uuid), since=mark)
        assert bed.pbx.has_open(path)
        argument = f"{uuid} mask {path}"
        masked = event("API", API_Command="uuid_record", API_Command_Argument=argument)
        await bed.esl.wait_for(masked, since=mark)
        await asyncio.sleep(TALK_S)
        await other.api(f"uuid_record {uuid} stop {path}", check=True)
        await bed.pbx.wait_closed(path, 5)
        with pytest.raises(EslError, match="Cannot locate session"):
            await other.api(f"uuid_record nobody start {path}", check=True)


async def test_the_dialplan_calls_callrec_where_the_manual_says() -> None:
    bed = Bed(PbxOptions(callrec=True), kind="freeswitch")
    bed.prepare()
    (bed.freeswitch.scripts / "callrec_offer.lua").write_text(
        'local e = freeswitch.Event("CUSTOM", "bed::offer")\n'
        'e:addHeader("Args", table.concat(argv, "/"))\n'
        'e:addHeader("Consent", session:getVariable("callrec_consent") or "")\n'
        "e:fire()\n"
    )
    async with bed:
        mark = bed.esl.mark()
        await bed.far.answer_by_itself(800)
        for to in ("301", "600", "601", "1302", "2302"):
            caller = await (await bed.far.call_in("1", to)).wait_up()
            await caller.hangup()
            await bed.quiet()
        await (await bed.far.line_calls("305", "306")).wait_up()
        dialling = await bed.far.line_calls("305", "0491")
        await (await bed.far.trunk_ringing("491")).answer()
        await dialling.wait_up()
        await bed.quiet()
        offers = [
            (found["Args"], found["Consent"])
            for found in bed.esl.since(mark)
            if found.event == "bed::offer"
        ]
    assert offers == [
        ("inbound/301/301", ""),
        ("inbound/-/600/sales", ""),
        ("inbound/-/601/support", ""),
        ("inbound/302/302", "accepted"),
        ("inbound/302/302", "declined"),
        ("internal/306", ""),
        ("outbound/305", ""),
    ]


def test_without_freeswitch_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installation.cache_clear()
    monkeypatch.setenv("FREESWITCH_PREFIX", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BedError, match=r"^no FreeSWITCH in .*: install FreeSWITCH .*$"):
        installation()
    installation.cache_clear()
