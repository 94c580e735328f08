"""Commands to API commands: texts only, nothing is sent here.

An API command is one line that FreeSWITCH takes apart at blanks, and at quotes and backslashes
too. What could mean anything there is refused; none of it comes from a caller.

Source: FreeSWITCH 1.11.1, switch_utils.c `switch_separate_string`; mod_commands.c.
"""

import re
from pathlib import Path

from callrec_pbx.domain.commands import AnswerKey, AnswerOffer, SwitchProfile
from callrec_pbx.pbx.errors import UnsafeValueError

HEARTBEAT = "callrec_heartbeat"
"""Global variable with the time (s, by FreeSWITCH's clock) at which somebody listened last."""

UNAVAILABLE = "callrec_unavailable.lua"
"""The script that ends a call after a notice."""

_LEG = re.compile(r"[0-9A-Za-z@._:-]{1,255}")
"""Also what most callers have as their Call-ID: `inbound-use-callid-as-uuid` makes it the leg's."""

_VALUE = re.compile(r"[^\x00-\x1f\x7f;'\"\\$`]*")
_PATH = re.compile(r"/[^\x00-\x1f\x7f'\"\\$`{}\[\],;]*")

RECORD = {
    "RECORD_MIN_SEC": "0",
    # Else the last half second before a pause is over would be written (seen in one-way calls).
    "RECORD_PRE_BUFFER_FRAMES": "1",
    "enable_file_write_buffering": "false",
    # Else the thread that writes holds its leg in FreeSWITCH for ever, when that hangs up in the
    # instant of the start (seen on 1.11.1: switch_ivr_async.c `recording_thread`).
    "RECORD_USE_THREAD": "false",
    "RECORD_HANGUP_ON_ERROR": "false",
    "RECORD_APPEND": "false",
    "RECORD_ANSWER_REQ": "false",
    "RECORD_BRIDGE_REQ": "false",
    "RECORD_READ_ONLY": "false",
    "RECORD_WRITE_ONLY": "false",
    "RECORD_STEREO_SWAP": "false",
    "RECORD_TOGGLE_ON_REPEAT": "false",
    "RECORD_CHECK_BRIDGE": "false",
    "RECORD_INITIAL_TIMEOUT_MS": "-1",
    "RECORD_FINAL_TIMEOUT_MS": "-1",
    "RECORD_SILENCE_THRESHOLD": "-1",
    "record_sample_rate": "0",
}
"""How a file is written, whatever the administrator has set on the channel for his own recordings.

What stands in the braces wins over a channel's variable; a negative time or threshold, and a rate
that is none, count as not set. Short files are kept, what is written is on the disk at once, and no
error ends a call.

Source: FreeSWITCH 1.11.1, switch_ivr_async.c `switch_ivr_record_session_event`.
"""


def leg_id(leg: str) -> str:
    """A leg as commands address it.

    Raises:
        UnsafeValueError: It is no id of FreeSWITCH's.
    """
    if not _LEG.fullmatch(leg):
        raise UnsafeValueError(f"a leg's id of {len(leg)} characters is none of FreeSWITCH's")
    return leg


def quoted(path: str) -> str:
    """An absolute path as an argument.

    Raises:
        UnsafeValueError: FreeSWITCH would read something else.
    """
    if not _PATH.fullmatch(path) or path != path.strip():
        raise UnsafeValueError(
            f"FreeSWITCH cannot be told the path {path!r}: it must be absolute, without quotes, "
            "braces, brackets, backslashes, commas, semicolons and $"
        )
    return f"'{path}'" if " " in path else path


def set_all(leg: str, values: dict[str, str]) -> str:
    """Set several variables of a leg, in that order; an empty value unsets one.

    Raises:
        UnsafeValueError: A value would be read as something else.
    """
    for name, value in values.items():
        if not _VALUE.fullmatch(value) or value != value.strip():
            raise UnsafeValueError(f"{name} cannot be set to {value!r}")
    pairs = ";".join(f"{name}={value}" for name, value in values.items())
    return f"uuid_setvar_multi {leg_id(leg)} {pairs}"


def answer_offer(command: AnswerOffer) -> str:
    """All variables in one command; the one that the script waits for is the last."""
    return set_all(
        command.leg,
        {
            "callrec_ask": "refused" if command.refused else command.ask.value,
            "callrec_callee_ask": command.ask_callee.value,
            "callrec_callee": command.callee.value,
            "callrec_prompt": command.prompt,
            "callrec_whisper": command.whisper,
            "callrec_language": command.language,
            "callrec_on_refusal": command.on_refusal.value,
            "callrec_decision": "made",
        },
    )


def answer_key(command: AnswerKey, sounds: Path) -> str:
    """Let the waiting key script go on."""
    return set_all(
        command.leg,
        {
            "callrec_key_prompt": sound(sounds, command.language, command.prompt),
            "callrec_tell": sound(sounds, command.language, command.tell),
            "callrec_key_result": command.result.value,
        },
    )


def answer_profile(command: SwitchProfile, prompt: str, sounds: Path) -> str:
    """Let the waiting phone hear what came of the code."""
    path = sound(sounds, command.language, prompt)
    return set_all(command.leg, {"callrec_profile_prompt": path})


def sound(sounds: Path, language: str, prompt: str) -> str:
    """The file of a prompt, empty for none."""
    return str(sounds / language / f"{prompt}.wav") if prompt else ""


def beat(at_s: int) -> str:
    """Say that somebody listens."""
    return f"global_setvar {HEARTBEAT}={at_s}"


def tag(leg: str, recording_id: str, path: str, reminder_s: int) -> str:
    """Note on the leg what is about to be recorded, for the scripts and for a listener to come.

    A recording that followed the call would go on under another leg's id, without an event, and
    could not be paused any more.
    """
    return set_all(
        leg,
        {
            "callrec_recording": recording_id,
            "callrec_path": path,
            "callrec_reminder": str(reminder_s),
            "recording_follow_transfer": "false",
            "recording_follow_attxfer": "false",
        },
    )


def start(leg: str, path: str, *, stereo: bool) -> str:
    """Write a leg's audio; in stereo, left is what it says and right is what it hears."""
    settings = {**RECORD, "RECORD_STEREO": "true" if stereo else "false"}
    braces = ",".join(f"{name}={value}" for name, value in settings.items())
    return f"uuid_record {leg_id(leg)} start {quoted(path)} 0 {{{braces}}}"


def record(leg: str, action: str, path: str) -> str:
    """`mask` (write silence), `unmask`, or `stop`."""
    return f"uuid_record {leg_id(leg)} {action} {quoted(path)}"


def whisper(leg: str, path: str) -> str:
    """Mix a file into what a leg hears.

    A recording of that leg does not hear it, where it was started before; no other leg does either.
    (With the flag `r` the other side would hear it, and the recording too. Measured on 1.11.1.)
    """
    return f"uuid_displace {leg_id(leg)} start {quoted(path)} 0 m"


def send_to_notice(leg: str) -> str:
    """Send a leg, and whom it talks with, to the notice that ends the call."""
    return f"uuid_transfer {leg_id(leg)} -both lua:{UNAVAILABLE} inline"
