"""`callrec-pbx policy explain` and `test`: what the policy says of a call, and why."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.table import Table

from callrec_pbx.cli.common import console, plain, print_json, shown, site
from callrec_pbx.cli.explanation import print_settings, print_steps
from callrec_pbx.cli.people_common import JsonOption
from callrec_pbx.cli.policy_common import (
    AsIfOnOption,
    PolicyFileOption,
    VersionOption,
    read_text,
    wanted_policy,
    warn,
)
from callrec_pbx.config.explain import problem_of
from callrec_pbx.domain.facts import Decision
from callrec_pbx.domain.policy import CallInQuestion, Policy
from callrec_pbx.domain.words import Direction
from callrec_pbx.policy import cases, explaining
from callrec_pbx.policy.cases import CallPart, Tried, field_text
from callrec_pbx.policy.countries import countries
from callrec_pbx.retention.quota import full_tenants

TOLD = (
    "rule", "mode", "consent", "announcement", "language", "retention",
    "tenant", "site", "department", "user",
)  # fmt: skip
"""What of a decision is told beside outcome and reason, where there is something to tell."""


def explain(
    ctx: typer.Context,
    *,
    caller: Annotated[str, typer.Option("--from", help="Who calls: a number or a line.")] = "",
    callee: Annotated[str, typer.Option("--to", help="Who was dialled.")] = "",
    direction: Annotated[
        Direction | None, typer.Option(help="Else told from who of the two has a line.")
    ] = None,
    queue: Annotated[str, typer.Option(help="The queue that it is in.")] = "",
    user: Annotated[str, typer.Option(help="E-mail of who would be recorded.")] = "",
    line: Annotated[str, typer.Option(help="The line that would be recorded.")] = "",
    ddi: Annotated[str, typer.Option(help="The direct number that was dialled.")] = "",
    trunk: Annotated[str, typer.Option(help="Endpoint of the outside line.")] = "",
    profile: Annotated[
        str | None, typer.Option(help="As if this profile were active for the user.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(help="When it begins, by the site's clock; else now.")
    ] = None,
    running: Annotated[
        int | None, typer.Option(help="As if so many recordings of the tenant ran.")
    ] = None,
    declined: Annotated[
        bool, typer.Option("--declined", help="As if a party had refused.")
    ] = False,
    version: VersionOption = None,
    file: PolicyFileOption = None,
    as_if_on: AsIfOnOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say what the policy decides of a call, with everything that was tried.

    People and places are those of now. While neither --user nor --line is given, nor a party has a
    line, it is decided as for a call that nobody has answered yet.
    """
    call = _call(
        {
            "from": caller,
            "to": callee,
            "direction": direction,
            "queue": queue,
            "user": user,
            "line": line,
            "ddi": ddi,
            "trunk": trunk,
            "profile": profile,
            "at": at,
            "running": running,
            "declined": declined,
        }
    )
    now = datetime.now(UTC)
    with site(ctx) as here:
        policy, warnings = wanted_policy(here, version, file, now.date(), as_if_on=as_if_on)
        full = full_tenants(here.engine)
    warn(warnings)
    question, decision = cases.decide(policy, call, now, full)
    if as_json:
        print_json(explaining.document(question, decision, policy.text, policy.people))
        return
    _print_decision(policy, question, decision)


def try_cases(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Cases in TOML; - reads standard input.")
    ],
    *,
    policy_file: PolicyFileOption = None,
    version: VersionOption = None,
    as_if_on: AsIfOnOption = False,
    as_json: JsonOption = False,
) -> None:
    """Put the calls of FILE to the policy, and compare with what is expected.

    Exit status 1 when something else comes out.
    """
    text, source = read_text(file)
    wanted = cases.parse_cases(text, source)
    now = datetime.now(UTC)
    with site(ctx) as here:
        policy, warnings = wanted_policy(here, version, policy_file, now.date(), as_if_on=as_if_on)
    warn(warnings)
    tried = cases.run(policy, wanted, now)
    failed = [one for one in tried if one.differences]
    if as_json:
        print_json(
            {
                "policy": policy.version,
                "cases": [_case(one, policy) for one in tried],
                "failed": len(failed),
            }
        )
    else:
        _print_cases(policy, tried, failed)
    if failed:
        raise typer.Exit(1)


def _call(given: dict[str, Any]) -> CallPart:
    document = {name: value for name, value in given.items() if value not in (None, "", False)}
    try:
        return CallPart.model_validate(document)
    except ValidationError as error:
        found = problem_of(dict(error.errors()[0]), document, "", CallPart)
        raise typer.BadParameter(
            f"{found.value} {found.text}; {found.remedy}", param_hint=f"--{found.key}"
        ) from None


def _print_decision(policy: Policy, question: CallInQuestion, decision: Decision) -> None:
    out = console()
    facts = Table.grid(padding=(0, 2))
    facts.add_row("policy", shown(decision.policy_version))
    facts.add_row("direction", question.direction or "")
    facts.add_row("line", shown(question.line or "not known yet"))
    if question.direction is not Direction.INTERNAL:
        facts.add_row("trunk", shown(question.trunk or "not known (--trunk)"))
    facts.add_row("outcome", f"{decision.outcome} ({shown(decision.reason)})")
    for name in TOLD:
        value = field_text(getattr(decision, name))
        about_settings = name in ("mode", "consent", "language", "retention", "format")
        if value and not (about_settings and not decision.may_record):
            facts.add_row(name.replace("_", " "), shown(value))
    out.print(facts)
    _print_remarks(question, policy)
    print_steps(
        explaining.steps(question, decision, policy.text),
        not_tried=explaining.rules_not_tried(decision, policy.text),
    )
    print_settings(decision.explanation.settings)
    _print_countries(explaining.expected(question, decision, policy.people), decision)


def _print_remarks(question: CallInQuestion, policy: Policy) -> None:
    for remark in explaining.remarks(question, policy.people):
        typer.echo(f"note: {plain(remark)}")


def _print_countries(found: explaining.Expected, decision: Decision) -> None:
    table = Table("Country of", "", "Expects", "At least")
    for party in found.parties:
        expectation = party.expectation
        if expectation is None:
            table.add_row(party.who, "not known", "", "")
        else:
            where = shown(f"{party.country} {expectation.name}")
            expects = expectation.expectation.replace("_", " ")
            table.add_row(party.who, where, expects, expectation.weakest)
    out = console()
    out.print(table)
    if found.falls_short and found.strictest is not None:
        expectation = found.strictest
        out.print(
            f"warning: consent {decision.consent} is less than {shown(expectation.name)} expects "
            f"({expectation.weakest}): {shown(expectation.note)}"
        )
    out.print(shown(countries().disclaimer))


def _print_cases(policy: Policy, tried: tuple[Tried, ...], failed: list[Tried]) -> None:
    out = console()
    table = Table("Case", "Result", "Outcome", "Rule", "Expected", "Got")
    for one in tried:
        table.add_row(
            shown(one.case.name),
            "failed" if one.differences else "passed",
            one.decision.outcome,
            shown(one.decision.rule),
            "\n".join(shown(f"{d.field} {d.expected}") for d in one.differences),
            "\n".join(shown(f"{d.field} {d.got}") for d in one.differences),
        )
    out.print(table)
    for one in failed:
        typer.echo(plain(f"{one.case.name}: {one.decision.outcome} ({one.decision.reason})"))
        _print_remarks(one.call, policy)
        print_steps(
            explaining.steps(one.call, one.decision, policy.text),
            not_tried=explaining.rules_not_tried(one.decision, policy.text),
        )
        print_settings(one.decision.explanation.settings)
    typer.echo(f"{len(tried) - len(failed)} of {len(tried)} cases passed")


def _case(one: Tried, policy: Policy) -> dict[str, Any]:
    return {
        "name": one.case.name,
        "passed": not one.differences,
        "differences": [
            {"field": d.field, "expected": d.expected, "got": d.got} for d in one.differences
        ],
        **explaining.document(one.call, one.decision, policy.text, policy.people),
    }
