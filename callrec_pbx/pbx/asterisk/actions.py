"""Commands to AMI actions: names and headers only, nothing is sent here."""

from dataclasses import dataclass

from callrec_pbx.audio import stereo
from callrec_pbx.domain.commands import AnswerKey, AnswerOffer, SwitchProfile, TellParties

Action = tuple[str, dict[str, str]]

SNAPSHOT_VARIABLES = (
    "CALLREC_OFFER",
    "CALLREC_CONSENT",
    "CALLREC_VOICEMAIL",
    "CALLREC_STOPPED",
    "MIXMONITOR_FILENAME",
    "CALLREC_MONITOR",
    "CALLREC_REMINDER",
    "CALLREC_STEREO",
)
"""Channel variables that `Status` is asked for after a (re)connect."""


TELL_KEY = "D"
"""The in-call key by which the listener itself has a leg's dialplan tell the parties something.

No phone has it.
"""


@dataclass(frozen=True, slots=True)
class Monitor:
    """A running MixMonitor: the channel and Asterisk's id of it, empty when not known."""

    channel: str
    monitor_id: str = ""

    def headers(self) -> dict[str, str]:
        """The headers that address it, and no MixMonitor of somebody else on that channel."""
        headers = {"Channel": self.channel}
        if self.monitor_id:
            headers["MixMonitorID"] = self.monitor_id
        return headers


def answer_offer(command: AnswerOffer) -> Action:
    """All variables in one action; the one that the dialplan waits for is the last."""
    values = {
        "__CALLREC_ASK": "refused" if command.refused else command.ask.value,
        "__CALLREC_CALLEE_ASK": command.ask_callee.value,
        "__CALLREC_CALLEE": command.callee.value,
        "__CALLREC_PROMPT": command.prompt,
        "__CALLREC_WHISPER": command.whisper,
        "__CALLREC_LANGUAGE": command.language,
        "__CALLREC_ON_REFUSAL": command.on_refusal.value,
        "CALLREC_DECISION": "made",
    }
    return _set_all(command.channel, values)


def answer_key(command: AnswerKey) -> Action:
    """Let the waiting key subroutine go on."""
    values = {
        "CALLREC_KEY_PROMPT": _sound(command.language, command.prompt),
        "CALLREC_TELL": _sound(command.language, command.tell),
        "CALLREC_KEY_RESULT": command.result.value,
    }
    return _set_all(command.channel, values)


def answer_profile(command: SwitchProfile, prompt: str) -> Action:
    """Let the waiting phone hear what came of the code."""
    value = _sound(command.language, prompt)
    return set_variable(command.channel, "CALLREC_PROFILE_PROMPT", value)


def prepare_to_tell(command: TellParties) -> Action:
    """Note on the leg what its parties are to hear."""
    value = _sound(command.language, command.prompt)
    return set_variable(command.channel, "CALLREC_TELL", value)


def tell(channel: str) -> Action:
    """Press `TELL_KEY` as if its phone had: that needs no right to originate calls."""
    return "PlayDTMF", {"Channel": channel, "Digit": TELL_KEY, "Receive": "true"}


def _sound(language: str, prompt: str) -> str:
    return f"callrec/{language}/{prompt}" if prompt else ""


def _set_all(channel: str, values: dict[str, str]) -> Action:
    # ARRAY() sets several variables by one action. Source: `core show function ARRAY`.
    return "Setvar", {
        "Channel": channel,
        "Variable": f"ARRAY({','.join(values)})",
        "Value": ",".join(values.values()),
    }


def start(
    channel: str, path: str, reminder_s: int, append: bool = False, sides: bool = False
) -> Action:
    """MixMonitor without its third argument, a shell command, which is never used.

    With `sides` it writes both directions apart too, each as long as the mixed file. (Its option
    `D` writes two channels at once, but half of what is said where a codec has more than 8 kHz.)

    Source: seen on Asterisk 22.10.1 with G.711 and G.722; app_mixmonitor's help.
    """
    options = "i(CALLREC_MONITOR)" + (f"B({reminder_s})" if reminder_s else "")
    if sides:
        options += "r({})t({})".format(*stereo.sides(path))
    options += "a" if append else ""
    return "MixMonitor", {"Channel": channel, "File": path, "Options": options}


def tag(channel: str, recording_id: str, reminder_s: int) -> Action:
    """Note on the channel what is recorded, for CDRs, for people, and for a listener to come."""
    values = {"CALLREC_RECORDING": recording_id, "CALLREC_REMINDER": str(reminder_s)}
    return _set_all(channel, values)


def note_sides(channel: str, path: str) -> Action:
    """Note which file has its sides written too, for a listener to come; before the start."""
    return set_variable(channel, "CALLREC_STEREO", path)


def mute(monitor: Monitor, on: bool) -> Action:
    """Pause or resume.

    Addressed by its id, a muted MixMonitor writes silence (observed on 22.10); without the id
    Asterisk leaves the muted time out of the file.
    """
    state = {"Direction": "both", "State": "1" if on else "0"}
    return "MixMonitorMute", {**monitor.headers(), **state}


def stop(monitor: Monitor) -> Action:
    """Close the file."""
    return "StopMixMonitor", monitor.headers()


def set_variable(channel: str, name: str, value: str) -> Action:
    """Set one channel variable; with an empty channel, a global one."""
    headers = {"Variable": name, "Value": value}
    return "Setvar", {"Channel": channel, **headers} if channel else headers


def hang_up_after_notice(channel: str, other: str) -> Action:
    """Send the parties to the notice that ends the call."""
    headers = {
        "Channel": channel,
        "Context": "callrec-unavailable",
        "Exten": "s",
        "Priority": "1",
    }
    if other:
        headers |= {
            "ExtraChannel": other,
            "ExtraContext": "callrec-unavailable",
            "ExtraExten": "s",
            "ExtraPriority": "1",
        }
    return "Redirect", headers
