"""What FreeSWITCH has at one moment, from its dumps of channels."""

import json
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from callrec_pbx.domain import events as e
from callrec_pbx.domain.events import LegSeen
from callrec_pbx.domain.words import ConsentMode, Direction, LegKind
from callrec_pbx.pbx.errors import ActionFailedError
from callrec_pbx.pbx.freeswitch import snapshot
from callrec_pbx.pbx.freeswitch.legs import bridge_id
from callrec_pbx.pbx.freeswitch.link import Message
from callrec_pbx.pbx.interface import Seen
from tests.pbx.freeswitch.captured import message
from tests.pbx.freeswitch.scripted import AGENT, CALLER, FILE, RECORDING, Pbx, connected

BRIDGE = bridge_id(CALLER, AGENT)
CREATED = datetime(2026, 11, 21, 18, 3, 39, 386904, UTC)


def dump(pbx: Pbx, leg: str) -> Message:
    """The dump of a leg, to be changed."""
    return cast(Message, pbx.dumps[leg])


def with_variables(pbx: Pbx, leg: str, **values: str) -> None:
    """Give a leg other values of its variables."""
    dump(pbx, leg).update({f"variable_{name}": value for name, value in values.items()})


async def look(pbx: Pbx, recordings: dict[str, str] | None = None) -> Seen:
    """Take a snapshot."""
    async with connected(pbx) as found:
        return await found.adapter.look(recordings or {})


async def seen(pbx: Pbx, leg: str, recordings: dict[str, str] | None = None) -> LegSeen:
    """One leg of a snapshot."""
    taken = await look(pbx, recordings)
    (found,) = [one for one in taken.legs if one.who.leg == leg]
    return found


async def test_a_conversation_that_is_recorded() -> None:
    """Both legs, and our recording on one of them, by the path that FreeSWITCH writes to."""
    taken = await look(Pbx(), {FILE: RECORDING})
    caller = e.Who(
        CALLER,
        "sofia/internal/0551234@127.0.0.1",
        CALLER,
        LegKind.LINE,
        "0551234",
        "0551234",
        "0551234",
    )
    agent = e.Who(
        AGENT, "sofia/internal/tone301@127.0.0.1:15962", CALLER, LegKind.LINE, "301", "301"
    )
    assert taken.legs == (
        LegSeen(caller, CREATED, BRIDGE),
        LegSeen(agent, CREATED, BRIDGE, recording=RECORDING),
    )
    assert not taken.partial


async def test_without_a_call() -> None:
    pbx = Pbx()
    pbx.dumps = {}
    taken = await look(pbx)
    assert (taken.legs, taken.partial) == ((), False)


async def test_since_when_it_runs() -> None:
    """By its own clock, an hour ahead of ours; a second is left for what is not exact."""
    pbx = Pbx()
    pbx.ahead_s = 3600
    taken = await look(pbx)
    assert taken.pbx_started_at == taken.at - timedelta(seconds=521.799946)
    assert taken.at - datetime.now(UTC) > timedelta(minutes=59)
    pbx.answers["uptime us"] = "a while"
    assert (await look(pbx)).pbx_started_at is None


@pytest.mark.parametrize("listed", [{}, {AGENT: "/var/spool/callrec/other.wav"}])
async def test_what_is_written_counts_and_not_what_was_meant(listed: dict[str, str]) -> None:
    """The variable stays when a recording is over."""
    pbx = Pbx()
    pbx.bugs = listed
    assert (await seen(pbx, AGENT, {FILE: RECORDING})).recording == ""


async def test_somebody_elses_recording() -> None:
    pbx = Pbx()
    assert (await seen(pbx, AGENT, {"/var/spool/callrec/x.wav": RECORDING})).recording == ""


async def test_a_leg_that_is_parked_keeps_the_name_of_its_former_partner() -> None:
    """In `bridge_uuid` and `signal_bond`; that is no conversation."""
    pbx = Pbx()
    for leg in (CALLER, AGENT):
        del dump(pbx, leg)["variable_bridge_to"]
    taken = await look(pbx)
    assert [leg.bridge for leg in taken.legs] == ["", ""]


async def test_both_must_say_so() -> None:
    """Between two dumps one of them may have been put through to somebody else."""
    pbx = Pbx()
    with_variables(pbx, CALLER, bridge_to="0b8a6c4e-0000-4000-8000-000000000000")
    taken = await look(pbx)
    assert [leg.bridge for leg in taken.legs] == ["", ""]


async def test_a_leg_that_rings_talks_with_nobody() -> None:
    """Early media is bridged too; when it is answered, the conversation begins."""
    pbx = Pbx()
    dump(pbx, AGENT)["Answer-State"] = "ringing"
    async with connected(pbx) as found:
        taken = await found.adapter.look({})
        assert [leg.bridge for leg in taken.legs] == ["", ""]
        answered = dump(pbx, AGENT) | {"Event-Name": "CHANNEL_ANSWER", "Answer-State": "answered"}
        found.send(answered)
        assert [type(event) for event in found.heard] == [e.LegBridged, e.LegBridged]


async def test_what_a_snapshot_has_shown_is_known() -> None:
    """An end of a conversation that began before we came."""
    pbx = Pbx()
    async with connected(pbx) as found:
        await found.adapter.look({})
        parted = message("blind-refer", "CHANNEL_UNBRIDGE") | {"variable_transfer_source": ""}
        ids = {"Unique-ID": CALLER, "Bridge-A-Unique-ID": CALLER, "Bridge-B-Unique-ID": AGENT}
        found.send(parted | ids)
        (one, other) = found.heard
        assert isinstance(one, e.LegUnbridged)
        assert isinstance(other, e.LegUnbridged)
        assert {one.leg, other.leg} == {CALLER, AGENT}
        assert one.bridge == other.bridge == BRIDGE


async def test_a_transfer_of_before_is_no_news() -> None:
    """Every event of the leg tells of it for the rest of its life."""
    pbx = Pbx()
    source = "1795246947:9d42fa3f:bl_xfer:302/default/XML"
    with_variables(pbx, CALLER, transfer_source=source)
    later = dump(pbx, CALLER) | {"Event-Name": "CHANNEL_ORIGINATE"}
    async with connected(pbx) as found:
        await found.adapter.look({})
        found.send(later)
        assert found.heard == []
        found.send(later | {"variable_transfer_source": source.replace("302", "303")})
        (event,) = found.heard
        assert isinstance(event, e.CallTransferred)
        assert event.target == "303"


async def test_events_wait_until_the_snapshot_is_taken() -> None:
    """One that speaks of a leg that has not been looked at yet would be lost."""
    pbx = Pbx()
    for leg in (CALLER, AGENT):
        del dump(pbx, leg)["variable_bridge_to"]
    bridged = dump(pbx, CALLER) | {
        "Event-Name": "CHANNEL_BRIDGE",
        "Bridge-A-Unique-ID": CALLER,
        "Bridge-B-Unique-ID": AGENT,
    }
    async with connected(pbx) as found:

        def during(command: str) -> None:
            if command.startswith(f"uuid_dump {CALLER}"):
                found.send(bridged)
            assert found.heard == []

        pbx.during = during
        taken = await found.adapter.look({})
        assert [leg.bridge for leg in taken.legs] == ["", ""]
        assert [type(event) for event in found.heard] == [e.LegBridged, e.LegBridged]


async def test_events_flow_again_when_it_fails() -> None:
    pbx = Pbx()
    pbx.answers["uptime us"] = ActionFailedError("-ERR no")
    async with connected(pbx) as found:
        with pytest.raises(ActionFailedError):
            await found.adapter.look({})
        found.send(message("blind-refer", "CHANNEL_CREATE"))
        assert [type(event) for event in found.heard] == [e.LegCreated]


async def test_a_leg_that_has_gone_meanwhile() -> None:
    """It is listed, and hangs up before it is asked for; nothing is missing."""
    pbx = Pbx()
    pbx.count = 1
    pbx.answers[f"uuid_dump {CALLER}"] = ActionFailedError("-ERR No such channel!")
    taken = await look(pbx, {FILE: RECORDING})
    assert [leg.who.leg for leg in taken.legs] == [AGENT]
    assert not taken.partial
    pbx.count = 0
    pbx.answers[f"uuid_buglist {AGENT}"] = ActionFailedError("-ERR no reply")
    assert (await look(pbx, {FILE: RECORDING})).legs == ()


async def test_a_leg_that_is_not_listed_yet() -> None:
    """FreeSWITCH counts it: its list comes from a database that is written later."""
    pbx = Pbx()
    late = pbx.dumps.pop(AGENT)
    pbx.count = 2

    def during(command: str) -> None:
        if command.startswith("json "):
            pbx.dumps[AGENT] = late

    pbx.during = during
    taken = await look(pbx)
    assert (len(taken.legs), taken.partial) == (2, False)


async def test_a_leg_that_is_never_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it may be one that we know: nobody is taken to have gone."""
    monkeypatch.setattr(snapshot, "SETTLE_S", 0.0)
    pbx = Pbx()
    pbx.count = 3
    taken = await look(pbx)
    assert (len(taken.legs), taken.partial) == (2, True)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"response": {"sessions": {"count": 2}}}'])
async def test_a_count_that_cannot_be_read(text: str) -> None:
    pbx = Pbx()
    pbx.answers["json"] = text
    taken = await look(pbx)
    assert (len(taken.legs), taken.partial) == (2, False)


@pytest.mark.parametrize("text", ["{}", "[]", "half a dump", json.dumps({"Unique-ID": AGENT})])
async def test_a_leg_that_cannot_be_read(text: str) -> None:
    """It is said that one is missing, and the others are there."""
    pbx = Pbx()
    pbx.dumps[AGENT] = text
    taken = await look(pbx)
    assert [leg.who.leg for leg in taken.legs] == [CALLER]
    assert taken.partial


@pytest.mark.parametrize("text", ["", "no", "[]", '{"rows": [1]}', '{"rows": [{}]}', '{"rows": 1}'])
async def test_a_list_that_cannot_be_read(text: str) -> None:
    pbx = Pbx()
    pbx.answers["show channels"] = text
    with pytest.raises(ActionFailedError, match="list of channels"):
        await look(pbx)


async def test_offer_and_consent_are_read_from_the_variables() -> None:
    """What was decided and said before we looked."""
    pbx = Pbx()
    report = "opt_in/de/announce_opt_in/1/1795253416000/1795253424000/1"
    with_variables(
        pbx, CALLER, callrec_offer="inbound/301/4930/sales/0301/", callrec_consent=report
    )
    leg = await seen(pbx, CALLER)
    assert leg.offer == e.CallOffered(
        CREATED, leg.who, Direction.INBOUND, "301", "4930", "sales", "0301"
    )
    assert leg.consent is not None
    assert (leg.consent.mode, leg.consent.key) == (ConsentMode.OPT_IN, "1")


@pytest.mark.parametrize("word", ["accepted", "declined"])
async def test_the_answer_of_a_menu_is_part_of_the_offer(word: str) -> None:
    """Its own variable is no report of ours, and costs nothing else."""
    pbx = Pbx()
    offer = f"inbound/301/4930/sales/0301/{word}"
    with_variables(pbx, CALLER, callrec_offer=offer, callrec_consent=word)
    leg = await seen(pbx, CALLER)
    assert leg.offer is not None
    assert leg.offer.outer_consent == word
    assert leg.consent is None


async def test_an_offer_that_cannot_be_read_costs_only_the_offer() -> None:
    pbx = Pbx()
    report = "opt_out/de/announce/*/1795253416000/1795253424000/1"
    with_variables(pbx, CALLER, callrec_offer="nonsense", callrec_consent=report)
    leg = await seen(pbx, CALLER)
    assert leg.offer is None
    assert leg.consent is not None
    assert leg.consent.key == "*"


async def test_a_caller_at_a_voicemail() -> None:
    pbx = Pbx()
    with_variables(pbx, CALLER, callrec_voicemail="302/1795253426123")
    leg = await seen(pbx, CALLER)
    assert leg.voicemail is not None
    assert leg.voicemail.line == "302"


@pytest.mark.parametrize(
    ("stopped", "pause", "discard"),
    [
        (f"pause/{FILE}", True, False),
        (f"discard/{FILE}", True, True),
        ("pause//var/spool/callrec/former.wav", False, False),
        ("discard//var/spool/callrec/former.wav", False, True),
        ("pause/", False, False),
        (f"/{FILE}", False, False),
        ("", False, False),
    ],
)
async def test_what_a_script_has_stopped_by_itself(
    stopped: str, pause: bool, discard: bool
) -> None:
    """A pause counts for the file that it stopped, an objection for the whole call."""
    pbx = Pbx()
    with_variables(pbx, AGENT, callrec_stopped=stopped)
    leg = await seen(pbx, AGENT, {FILE: RECORDING})
    assert (leg.offline_pause, leg.offline_discard) == (pause, discard)


async def test_when_a_leg_was_created_is_not_known() -> None:
    pbx = Pbx()
    dump(pbx, CALLER)["Caller-Channel-Created-Time"] = ""
    taken = await look(pbx)
    assert taken.legs[0].created_at == taken.at
