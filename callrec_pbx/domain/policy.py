"""The ordered list of rules: first match wins.

A rule's criterion that is empty matches everything. Patterns are whole strings in which `*`
stands for any characters and `?` for one.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from callrec_pbx.domain.facts import Decision
from callrec_pbx.domain.words import ConsentMode, Direction, Mode, Notice, OnTrouble, Outcome


@dataclass(frozen=True, slots=True)
class CallInQuestion:
    """What a decision may depend on.

    Attributes:
        line: The line that would be recorded; None when it is not known yet (a queue), and then
            a rule that names lines is taken to match, so that the announcement is not left out.
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
        for rule in self.rules:
            if rule.matches(call):
                return _by_rule(rule, self.version)
        return Decision(Outcome.NOT_SELECTED, "no_rule", policy_version=self.version)


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
