"""Commands to AMI actions, header by header, and what is never sent."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec_pbx.domain.commands import AnswerKey, AnswerOffer, SwitchProfile, TellParties
from callrec_pbx.domain.words import ConsentMode, KeyResult, LegKind, OnTrouble
from callrec_pbx.pbx.asterisk import actions, framing
from callrec_pbx.pbx.asterisk.actions import Monitor
from callrec_pbx.pbx.errors import UnsafeValueError
from callrec_pbx.resources import resource_dir

CHANNEL = "PJSIP/301-0000002a"


def test_answer_offer() -> None:
    command = AnswerOffer(
        leg="1.1",
        channel=CHANNEL,
        ask=ConsentMode.OPT_OUT,
        ask_callee=ConsentMode.NONE,
        callee=LegKind.LINE,
        prompt="announce_opt_out",
        whisper="whisper",
        language="de",
        on_refusal=OnTrouble.CONTINUE,
    )
    assert actions.answer_offer(command) == (
        "Setvar",
        {
            "Channel": CHANNEL,
            "Variable": "ARRAY(__CALLREC_ASK,__CALLREC_CALLEE_ASK,__CALLREC_CALLEE,"
            "__CALLREC_PROMPT,__CALLREC_WHISPER,__CALLREC_LANGUAGE,__CALLREC_ON_REFUSAL,"
            "CALLREC_DECISION)",
            "Value": "opt_out,none,line,announce_opt_out,whisper,de,continue,made",
        },
    )
    refused = actions.answer_offer(replace(command, ask=ConsentMode.NONE, refused=True))
    assert refused[1]["Value"].startswith("refused,none,")


def test_answer_key() -> None:
    told = AnswerKey("1.1", CHANNEL, KeyResult.PAUSED, "beep_paused", "sv")
    assert actions.answer_key(told) == (
        "Setvar",
        {
            "Channel": CHANNEL,
            "Variable": "ARRAY(CALLREC_KEY_PROMPT,CALLREC_TELL,CALLREC_KEY_RESULT)",
            "Value": "callrec/sv/beep_paused,,paused",
        },
    )
    everybody = AnswerKey("1.1", CHANNEL, KeyResult.STARTED, "", "sv", "beep")
    assert actions.answer_key(everybody)[1]["Value"] == ",callrec/sv/beep,started"
    silent = AnswerKey("1.1", CHANNEL, KeyResult.REFUSED, "", "sv")
    assert actions.answer_key(silent)[1]["Value"] == ",,refused"


def test_telling_the_parties() -> None:
    """By the leg's own dialplan, which a key starts that no phone has."""
    command = TellParties("1.1", CHANNEL, "stopped", "de")
    assert actions.prepare_to_tell(command) == (
        "Setvar",
        {"Channel": CHANNEL, "Variable": "CALLREC_TELL", "Value": "callrec/de/stopped"},
    )
    assert actions.tell(CHANNEL) == (
        "PlayDTMF",
        {"Channel": CHANNEL, "Digit": "D", "Receive": "true"},
    )
    features = resource_dir("dialplan") / "asterisk" / "features.conf"
    assert f"callrec-tell => {actions.TELL_KEY}," in features.read_text()


def test_answer_profile() -> None:
    command = SwitchProfile("301", "42", "1.1", CHANNEL, "nb")
    assert actions.answer_profile(command, "profile_unknown") == (
        "Setvar",
        {
            "Channel": CHANNEL,
            "Variable": "CALLREC_PROFILE_PROMPT",
            "Value": "callrec/nb/profile_unknown",
        },
    )


@pytest.mark.parametrize(
    ("reminder_s", "append", "options"),
    [
        (0, False, "i(CALLREC_MONITOR)"),
        (15, False, "i(CALLREC_MONITOR)B(15)"),
        (15, True, "i(CALLREC_MONITOR)B(15)a"),
        (0, True, "i(CALLREC_MONITOR)a"),
    ],
)
def test_start(reminder_s: int, append: bool, options: str) -> None:
    """MixMonitor's Command, a shell command, is never among the headers."""
    found = actions.start(CHANNEL, "/r/2026/03/01/id.wav", reminder_s, append)
    assert found == (
        "MixMonitor",
        {"Channel": CHANNEL, "File": "/r/2026/03/01/id.wav", "Options": options},
    )


def test_start_with_both_directions_apart() -> None:
    """Received from the leg is left, sent to it is right; the mixed file is written as ever."""
    name, headers = actions.start(CHANNEL, "/r/2026/03/01/id.wav", 15, append=True, sides=True)
    assert (name, headers["File"]) == ("MixMonitor", "/r/2026/03/01/id.wav")
    assert headers["Options"] == (
        "i(CALLREC_MONITOR)B(15)r(/r/2026/03/01/id.left.wav)t(/r/2026/03/01/id.right.wav)a"
    )
    assert actions.note_sides(CHANNEL, "/r/id.wav") == (
        "Setvar",
        {"Channel": CHANNEL, "Variable": "CALLREC_STEREO", "Value": "/r/id.wav"},
    )
    assert "CALLREC_STEREO" in actions.SNAPSHOT_VARIABLES


def test_steering_a_monitor() -> None:
    known, unknown = Monitor(CHANNEL, "0x7f0a"), Monitor(CHANNEL)
    address = {"Channel": CHANNEL, "MixMonitorID": "0x7f0a"}
    assert actions.stop(known) == ("StopMixMonitor", address)
    assert actions.stop(unknown) == ("StopMixMonitor", {"Channel": CHANNEL})
    pause = {**address, "Direction": "both", "State": "1"}
    assert actions.mute(known, on=True) == ("MixMonitorMute", pause)
    assert actions.mute(known, on=False) == ("MixMonitorMute", pause | {"State": "0"})


def test_variables() -> None:
    assert actions.tag(CHANNEL, "01abc", 15) == (
        "Setvar",
        {
            "Channel": CHANNEL,
            "Variable": "ARRAY(CALLREC_RECORDING,CALLREC_REMINDER)",
            "Value": "01abc,15",
        },
    )
    assert actions.set_variable("", "X", "1") == ("Setvar", {"Variable": "X", "Value": "1"})
    assert actions.set_variable(CHANNEL, "X", "1") == (
        "Setvar",
        {"Channel": CHANNEL, "Variable": "X", "Value": "1"},
    )


def test_hang_up_after_notice() -> None:
    name, headers = actions.hang_up_after_notice(CHANNEL, "PJSIP/trunk-1")
    assert name == "Redirect"
    assert headers == {
        "Channel": CHANNEL,
        "Context": "callrec-unavailable",
        "Exten": "s",
        "Priority": "1",
        "ExtraChannel": "PJSIP/trunk-1",
        "ExtraContext": "callrec-unavailable",
        "ExtraExten": "s",
        "ExtraPriority": "1",
    }
    assert "ExtraChannel" not in actions.hang_up_after_notice(CHANNEL, "")[1]


@given(st.text(), st.sampled_from(["\r", "\n", "\0", "\r\n\r\nAction: Originate\r\n"]), st.text())
def test_no_channel_name_begins_a_second_action(before: str, bad: str, after: str) -> None:
    for name, headers in (
        actions.stop(Monitor(before + bad + after)),
        actions.start(CHANNEL, before + bad + after, 0),
        actions.set_variable(CHANNEL, "X", before + bad + after),
    ):
        with pytest.raises(UnsafeValueError):
            framing.action(name, headers, "1")


@given(st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8"), max_size=200))
def test_whatever_else_stays_one_action(value: str) -> None:
    name, headers = actions.set_variable(CHANNEL, "X", value)
    wire = framing.action(name, headers, "1").decode()
    assert wire.endswith("\r\n\r\n")
    assert wire.count("\r\n") == 6
    assert f"\r\nValue: {value}\r\n" in wire
