"""How the consent of one party moves: the table, and what counts as having been asked.

A refusal is final. Whatever is not in the table keeps the state.
"""

from callrec_pbx.domain.facts import PromptBook, PromptFacts
from callrec_pbx.domain.words import Consent, ConsentMode

ASK = "ask"
CANNOT_ASK = "cannot_ask"
MENU_ACCEPTED = "menu_accepted"

# The reports of the PBX are named by the consent that they mean.
TABLE: dict[tuple[Consent, str], Consent] = {
    (Consent.UNASKED, ASK): Consent.ASKING,
    # another line needs more than what was announced
    (Consent.ANNOUNCED, ASK): Consent.ASKING,
    (Consent.ASKING, CANNOT_ASK): Consent.UNASKED,
    **{
        (state, outcome.value): outcome
        # unasked: the listener was away when the party was asked
        for state in (Consent.UNASKED, Consent.ASKING)
        for outcome in (
            Consent.ANNOUNCED,
            Consent.ACCEPTED,
            Consent.DECLINED,
            Consent.NO_ANSWER,
        )
    },
    # who was only told, or did not answer, may still agree in the administrator's own menu
    **{
        (state, MENU_ACCEPTED): Consent.ACCEPTED
        for state in (Consent.UNASKED, Consent.ASKING, Consent.ANNOUNCED, Consent.NO_ANSWER)
    },
    # a refusal that comes late, or by word to the agent, still counts
    (Consent.ANNOUNCED, Consent.DECLINED.value): Consent.DECLINED,
    (Consent.ACCEPTED, Consent.DECLINED.value): Consent.DECLINED,
    (Consent.NO_ANSWER, Consent.DECLINED.value): Consent.DECLINED,
}

PROMPT_FOR = {
    ConsentMode.ANNOUNCE: "announce",
    ConsentMode.OPT_OUT: "announce_opt_out",
    ConsentMode.OPT_IN: "announce_opt_in",
}

OUTER_MENU = "outer_menu"
"""Stands in the evidence for the prompt of a party that was asked in the administrator's menu."""

DECLINED_BY_MENU = "declined_by_menu"
"""Why nothing of a call is recorded whose caller said no in the administrator's menu."""

END_SILENCE_MS = 50
"""How much of its end (ms) a prompt may lack and still count as announced: it is silence, and
a PBX may leave out the last few ms of a file (seen on Asterisk 22)."""


def after(state: Consent, input_: str) -> Consent:
    """The state that follows; the same one for a pair that the table does not list."""
    return TABLE.get((state, input_), state)


def announcement(
    book: PromptBook, mode: ConsentMode, name: str, language: str
) -> PromptFacts | None:
    """The announcement for a mode: the administrator's own of that name, else the built-in one.

    An announcement in the party's language comes before one that it may not understand.
    """
    built_in = PROMPT_FOR.get(mode)
    if built_in is None:
        return None
    names = [name + built_in.removeprefix("announce")] if name else []
    names.append(built_in)
    for known in (language, book.fallback):
        for wanted in names:
            found = book.prompts.get((known, wanted))
            if found is not None:
                return found
    return None


def meaning(
    mode: ConsentMode, key: str, played_ms: int, prompt_ms: int, completed: bool
) -> Consent:
    """What a report of the PBX means.

    Args:
        key: The digit pressed, empty for none.
        played_ms: How much of the announcement was played.
        prompt_ms: Its length; 0 when it is not known, and then nothing counts as announced.
        completed: False when the party hung up while it was asked.
    """
    if mode is ConsentMode.OPT_IN:
        if key == "1":
            return Consent.ACCEPTED
        return Consent.DECLINED if key == "2" else Consent.NO_ANSWER
    if mode is ConsentMode.OPT_OUT and key == "*":
        return Consent.DECLINED
    heard = completed and 0 < prompt_ms <= played_ms + END_SILENCE_MS
    return Consent.ANNOUNCED if heard else Consent.NO_ANSWER


def refusal(state: Consent, mode: ConsentMode, completed: bool) -> str:
    """Why nothing more of a call may be recorded after that; empty where it may.

    Args:
        completed: False when the party hung up while it was asked.
    """
    if state is Consent.DECLINED:
        return "declined"
    # Silence means no, but only of a party that was asked whether it agrees.
    silent = state is Consent.NO_ANSWER and mode is ConsentMode.OPT_IN and completed
    return "no_answer" if silent else ""


def satisfies(state: Consent, asked: ConsentMode, mode: ConsentMode) -> bool:
    """Whether a rule that asks for consent in this mode may record.

    Args:
        asked: The mode in which the party was asked: who has only been told of the recording has
            not been told how to refuse it.
    """
    if mode is ConsentMode.NONE:
        return state is not Consent.DECLINED
    if state is Consent.ANNOUNCED:
        return mode is ConsentMode.ANNOUNCE or asked is mode is ConsentMode.OPT_OUT
    return state is Consent.ACCEPTED
