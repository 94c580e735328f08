"""Made-up calls, what a policy says of them, and whether that is what was expected."""

from collections.abc import Iterator
from dataclasses import Field as DataclassField
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, get_type_hints

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, create_model

from callrec_pbx.config.checks import BadValueError
from callrec_pbx.config.errors import Problem
from callrec_pbx.config.explain import problem_of, shown_value
from callrec_pbx.domain.facts import Decision
from callrec_pbx.domain.people import People, User
from callrec_pbx.domain.policy import CallInQuestion, Policy
from callrec_pbx.domain.policy.schedule import zone
from callrec_pbx.domain.words import Direction
from callrec_pbx.policy import values
from callrec_pbx.policy.document import Name, Part, Retention, Text, Truth, Whole, parse_toml
from callrec_pbx.policy.errors import PolicyError, PolicyFileError

REFUSED = "declined"
NOT_EXPECTED = ("explanation", "policy_version")
"""What of a decision no case can foresee, or needs to."""


Email = Annotated[Text, AfterValidator(values.written_email)]
Written = Annotated[Text, AfterValidator(values.written)]


class CaseError(PolicyError):
    """A made-up call cannot be: it names who is not there; the user gives it otherwise."""


class CallPart(Part):
    """A made-up call; what is left out is told from the rest, or is not there."""

    from_: Text = Field(default="", alias="from", description="who calls", examples=["+4670123"])
    to: Text = Field(default="", description="who was dialled", examples=["301"])
    direction: Direction | None = Field(
        default=None, description="where the call comes from and goes to"
    )
    queue: Text = Field(default="", description="the queue it is in", examples=["support"])
    user: Email = Field(
        default="", description="e-mail of who would be recorded", examples=["anna@example.org"]
    )
    line: Text = Field(default="", description="line that would be recorded", examples=["301"])
    ddi: Text = Field(default="", description="direct number dialled", examples=["+46812345"])
    trunk: Text = Field(default="", description="endpoint of the outside line", examples=["trunk"])
    profile: Name | None = Field(
        default=None, description="profile active for the user", examples=["Abroad"]
    )
    at: Annotated[datetime, BeforeValidator(values.moment)] | None = Field(
        default=None,
        description="when it began, by the site's clock where no zone is given",
        examples=["2026-03-02T10:00"],
    )
    running: Whole | None = Field(
        default=None, ge=0, description="recordings of the tenant that run", examples=[3]
    )
    declined: Truth = Field(default=False, description="whether a party has refused")


def _expectation(field: DataclassField[Any], hint: Any) -> tuple[Any, Any]:
    kind = hint
    if field.name == "retention":
        kind = Retention
    elif hint is bool:
        kind = Truth
    elif field.name == "user":
        kind = Email
    elif hint is str:
        kind = Written
    elif hint is int:
        kind = Whole
    return (kind | None, Field(default=None, description=f"the decision's {field.name}"))


_HINTS = get_type_hints(Decision)
ExpectPart: type[Part] = create_model(
    "ExpectPart",
    __base__=Part,
    **{  # type: ignore[call-overload]
        field.name: _expectation(field, _HINTS[field.name])
        for field in fields(Decision)
        if field.name not in NOT_EXPECTED
    },
)
"""What is expected of a decision: any of its fields."""


def _expects_something(value: Part) -> Part:
    if not value.model_fields_set:
        raise BadValueError(
            "expects nothing", 'say what must come of it, such as { outcome = "recorded" }'
        )
    return value


class CasePart(CallPart):
    """A made-up call and what must come of it."""

    name: Annotated[Text, AfterValidator(values.case_name)] = Field(
        description="what the case shows", examples=["support is asked"]
    )
    expect: Annotated[ExpectPart, AfterValidator(_expects_something)] = Field(  # type: ignore[valid-type]
        description='what must come of it, such as { outcome = "recorded" }'
    )


class Cases(Part):
    """A file of cases."""

    case: tuple[CasePart, ...] = Field(description="[[case]]")


@dataclass(frozen=True, slots=True)
class Case:
    """A made-up call and what must come of it.

    Attributes:
        expected: Values by field of the decision.
    """

    name: str
    call: CallPart
    expected: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """A field of a decision that is not as expected."""

    field: str
    expected: str
    got: str


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a case.

    Attributes:
        differences: Nothing where it is as expected.
    """

    case: Case
    call: CallInQuestion
    decision: Decision
    differences: tuple[Difference, ...]


def parse_cases(text: str, source: str) -> tuple[Case, ...]:
    """Read a file of cases.

    Raises:
        PolicyFileError: Something cannot be used; it names all problems at once.
    """
    document = parse_toml(text, source)
    try:
        checked = Cases.model_validate(document)
    except ValidationError as error:
        raise PolicyFileError(
            problem_of(dict(item), document, source, Cases)
            for item in error.errors(include_url=False)
        ) from None
    problems = list(_twice(checked, source))
    if problems:
        raise PolicyFileError(problems)
    return tuple(
        Case(
            part.name,
            part,
            _expected(part.expect),
        )
        for part in checked.case
    )


def _expected(part: Part) -> dict[str, Any]:
    """What is said, in the order of the decision's fields."""
    return {
        name: getattr(part, name)
        for name in type(part).model_fields
        if name in part.model_fields_set
    }


def question_of(call: CallPart, people: People, now: datetime) -> CallInQuestion:
    """The question that a made-up call puts to a policy.

    The line is that of the call, else one of the user, else whoever of the two parties has it.

    Args:
        now: When it began if the call does not say.

    Raises:
        CaseError: There is no such user, or the user has no line.
    """
    direction = call.direction or _direction(call, people)
    line = call.line or _line_of(call.user, people) or _line_of_party(call, people, direction)
    ddi = call.ddi
    if not ddi and direction is Direction.INBOUND and people.line_of(call.to) is None:
        ddi = call.to
    outside = {Direction.INBOUND: call.from_, Direction.OUTBOUND: call.to}.get(direction, "")
    # A call from or to outside always has a trunk: one that is not given may be any.
    trunk = call.trunk if direction is Direction.INTERNAL else call.trunk or None
    return CallInQuestion(
        direction,
        line or None,
        ddi,
        call.queue,
        (outside,) if outside else (),
        trunk,
        _began(call.at, people, line or None, ddi, call.queue) or now,
        declined=REFUSED if call.declined else "",
        running=None if call.running is None else _always(call.running),
    )


def decide(
    policy: Policy, call: CallPart, now: datetime, full: frozenset[str] = frozenset()
) -> tuple[CallInQuestion, Decision]:
    """What a policy says of a made-up call, with every rule that was tried.

    Args:
        full: Tenants that stop recording, as there is no room left.

    Raises:
        CaseError: There is no such user or profile.
    """
    people = policy.people
    question = replace(question_of(call, people, now), full=full)
    if call.profile is None:
        return question, policy.decide(question, every=True)
    user = people.belonging(question.line, question.ddi, question.queue).user
    profiles = people.profiles.get((user.tenant, user.email), {}) if user else {}
    if user is None or call.profile not in profiles:
        whose = user.email if user else "nobody, as the line has no user"
        known = ", ".join(sorted(profiles)) or "none"
        raise CaseError(
            f"profile {call.profile!r}: is none of {whose}; known are {known}, and "
            "`callrec-pbx profile list` shows all"
        )
    before = people.profile_of(user)
    people.switch(user.tenant, user.email, call.profile)
    try:
        return question, policy.decide(question, every=True)
    finally:
        people.switch(user.tenant, user.email, before.name if before else "")


def run(policy: Policy, cases: tuple[Case, ...], now: datetime) -> tuple[Tried, ...]:
    """Put every case to the policy.

    Raises:
        CaseError: A case names a user or profile that is not there.
    """
    found = []
    for case in cases:
        try:
            question, decision = decide(policy, case.call, now)
        except CaseError as error:
            raise CaseError(f"case {shown_value(case.name)}: {error}") from None
        found.append(Tried(case, question, decision, _differences(case, decision)))
    return tuple(found)


def _differences(case: Case, decision: Decision) -> tuple[Difference, ...]:
    found = []
    for name, expected in case.expected.items():
        got = getattr(decision, name)
        if got != expected:
            found.append(Difference(name, field_text(expected), field_text(got)))
    return tuple(found)


def field_text(value: Any) -> str:
    """A value of a decision as people write it."""
    if isinstance(value, StrEnum):
        return value.value
    return str(value).lower() if isinstance(value, bool) else str(value)


def _direction(call: CallPart, people: People) -> Direction:
    """As the parties tell: who has a line is inside."""
    caller = bool(call.from_) and people.line_of(call.from_) is not None
    callee = bool(call.to) and people.line_of(call.to) is not None
    if caller:
        return Direction.INTERNAL if callee else Direction.OUTBOUND
    return Direction.INBOUND


def _line_of_party(call: CallPart, people: People, direction: Direction) -> str:
    """The line of the party that is inside; empty while nobody knows who will answer."""
    if direction is Direction.OUTBOUND:
        return call.from_
    if direction is Direction.INTERNAL and not call.queue:
        return call.to or call.from_
    return call.to if call.to and not call.queue and people.line_of(call.to) else ""


def _line_of(email: str, people: People) -> str:
    if not email:
        return ""
    found: list[User] = [user for user in people.users.values() if user.email == email]
    if not found:
        raise CaseError(f"user {email!r}: there is none; `callrec-pbx user list` shows all")
    if len(found) > 1:
        tenants = ", ".join(user.tenant for user in found)
        raise CaseError(f"user {email!r}: is one of {tenants}; give the line instead")
    for line in people.lines_of(found[0]):
        for name in (line.endpoint, line.extension):
            if people.line_of(name) == line:
                return name
    raise CaseError(f"user {email!r}: has no line; add one, or give the line that you mean")


def _began(
    at: datetime | None, people: People, line: str | None, ddi: str, queue: str
) -> datetime | None:
    if at is None or at.tzinfo is not None:
        return at
    belonging = people.belonging(line, ddi, queue)
    site, tenant = belonging.site, belonging.tenant
    name = (site.time_zone if site else "") or (tenant.time_zone if tenant else "")
    return at.replace(tzinfo=zone(name) or UTC)


def _always(running: int) -> Any:
    return lambda _tenant: running


def _twice(checked: Cases, source: str) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for number, part in enumerate(checked.case, 1):
        if part.name in seen:
            yield Problem(
                source,
                f"case {number} {shown_value(part.name)} name",
                shown_value(part.name),
                f"case {seen[part.name]} has that name",
                "give each case a name of its own",
            )
        seen.setdefault(part.name, number)
