"""The ordered list of rules: first match wins.

A rule's criterion that is empty matches everything. Patterns are whole strings in which `*`
stands for any characters and `?` for one.
"""

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from callrec_pbx.domain.facts import Decision
from callrec_pbx.domain.words import ConsentMode, Direction, Mode, Notice, OnTrouble, Outcome

STRICTNESS = (ConsentMode.NONE, ConsentMode.ANNOUNCE, ConsentMode.OPT_OUT, ConsentMode.OPT_IN)
"""Modes of consent, from the one that asks least."""


@dataclass(frozen=True, slots=True)
class CallInQuestion:
    """What a decision may depend on.

    Attributes:
        line: The line that would be recorded; None when it is not known yet (a queue), and then
            rules that name lines may match, so that the announcement is not left out.
        numbers: The outside numbers of the call.
    """

    direction: Direction | None
    line: str | None
    ddi: str = ""
    queue: str = ""
    numbers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the policy."""

    name: str
    mode: Mode
    consent: ConsentMode = ConsentMode.NONE
    direction: tuple[Direction, ...] = ()
    ddi: tuple[str, ...] = ()
    queue: tuple[str, ...] = ()
    line: tuple[str, ...] = ()
    number: tuple[str, ...] = ()
    on_refusal: OnTrouble = OnTrouble.CONTINUE
    on_failure: OnTrouble = OnTrouble.CONTINUE
    whisper: bool = True
    notice: Notice = Notice.BEEP
    reminder_s: int = 0
    resume_after_s: int = 0
    retention_days: int | None = None
    language: str = "en"

    def matches(self, call: CallInQuestion) -> bool:
        """Whether every criterion that is set fits the call."""
        if self.direction and call.direction not in self.direction:
            return False
        if self.ddi and not _any_like((call.ddi,), self.ddi):
            return False
        if self.queue and not _any_like((call.queue,), self.queue):
            return False
        if self.line and call.line is not None and not _any_like((call.line,), self.line):
            return False
        return not self.number or _any_like(call.numbers, self.number)


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules in order, numbers that are never recorded, and the version that decisions name."""

    version: str
    rules: tuple[Rule, ...] = ()
    excluded_numbers: tuple[str, ...] = ()

    def decide(self, call: CallInQuestion) -> Decision:
        """Say whether and how to record; hard stops first, then the first rule that matches."""
        if self.excluded_numbers and _any_like(call.numbers, self.excluded_numbers):
            return Decision(Outcome.EXCLUDED, "excluded_number", policy_version=self.version)
        candidates = self._candidates(call)
        if not candidates:
            return Decision(Outcome.NOT_SELECTED, "no_rule", policy_version=self.version)
        decision = _by_rule(candidates[0], self.version)
        if len(candidates) == 1:
            return decision
        # Nobody knows yet whose rule will count: ask as the strictest of them does.
        strictest = max((rule.consent for rule in candidates), key=STRICTNESS.index)
        return replace(decision, consent=strictest)

    def _candidates(self, call: CallInQuestion) -> list[Rule]:
        """The first rule that matches; before it, while the line is not known, those that may.

        A rule that would not record cannot keep others from asking for consent until its line is
        known to be the one.
        """
        found: list[Rule] = []
        for rule in self.rules:
            if not rule.matches(call):
                continue
            certain = not rule.line or call.line is not None
            if rule.mode is not Mode.NEVER or (certain and not found):
                found.append(rule)
            if certain:
                break
        return found


def _by_rule(rule: Rule, version: str) -> Decision:
    never = rule.mode is Mode.NEVER
    return Decision(
        outcome=Outcome.NOT_SELECTED if never else Outcome.RECORDED,
        reason="rule",
        rule=rule.name,
        policy_version=version,
        mode=rule.mode,
        consent=ConsentMode.NONE if never else rule.consent,
        on_refusal=rule.on_refusal,
        on_failure=rule.on_failure,
        whisper=rule.whisper and not never,
        notice=rule.notice,
        reminder_s=rule.reminder_s,
        resume_after_s=rule.resume_after_s,
        retention_days=rule.retention_days,
        language=rule.language,
    )


def _any_like(values: tuple[str, ...], patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(value, pattern) for value in values if value for pattern in patterns)
