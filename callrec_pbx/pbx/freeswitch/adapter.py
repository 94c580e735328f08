"""FreeSWITCH as the recorder sees it."""

from collections.abc import Callable
from pathlib import Path

from callrec_pbx.domain.commands import (
    AnswerKey,
    AnswerOffer,
    HangUpCall,
    SwitchProfile,
    TellParties,
)
from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.pbx.freeswitch.link import EslLink, OnMessages
from callrec_pbx.pbx.interface import OnEvents, Seen


class FreeSwitch:
    """One event socket connection, spoken to in our own words.

    Args:
        make_link: Makes the (unconnected) link; it gets the function that takes messages.
        trunks: Patterns of the gateways and SIP profiles that lead outside.
        sounds_dir: Where FreeSWITCH has our prompts, a folder for each language.
        on_events: Gets the events, in order.
        wait_s: How long the scripts wait for the answer to an offer or a key.
    """

    def __init__(
        self,
        make_link: Callable[[OnMessages], EslLink],
        trunks: tuple[str, ...],
        sounds_dir: Path,
        on_events: OnEvents,
        wait_s: float = 0.5,
    ) -> None:
        raise NotImplementedError

    async def connect(self) -> None:
        raise NotImplementedError

    async def wait_lost(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    async def beat(self) -> None:
        raise NotImplementedError

    async def look(self, recordings: dict[str, str]) -> Seen:
        raise NotImplementedError

    async def answer_offer(self, command: AnswerOffer) -> None:
        raise NotImplementedError

    async def answer_key(self, command: AnswerKey) -> None:
        raise NotImplementedError

    async def answer_profile(self, command: SwitchProfile, prompt: str) -> None:
        raise NotImplementedError

    async def tell(self, command: TellParties) -> None:
        raise NotImplementedError

    async def start(self, recording: RecordingFacts, path: str, reminder_s: int) -> None:
        raise NotImplementedError

    async def pause(self, recording: RecordingFacts) -> None:
        raise NotImplementedError

    async def resume(self, recording: RecordingFacts) -> None:
        raise NotImplementedError

    def stop_is_due(self, recording: RecordingFacts) -> None:
        raise NotImplementedError

    async def stop(self, recording: RecordingFacts) -> None:
        raise NotImplementedError

    async def hang_up(self, command: HangUpCall) -> None:
        raise NotImplementedError
