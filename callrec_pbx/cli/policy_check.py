"""`callrec-pbx policy check` and `policy countries`: the policy against what law expects."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from callrec_pbx.catalogue.engine import reading
from callrec_pbx.cli.common import console, plain, print_json, progress_bar, site
from callrec_pbx.cli.people_common import JsonOption
from callrec_pbx.cli.policy_common import PolicyFileOption, VersionOption, wanted_policy
from callrec_pbx.numbers import Numbers
from callrec_pbx.policy.acknowledgement import acknowledged
from callrec_pbx.policy.check import PolicyWarning, Severity
from callrec_pbx.policy.check import check as look_through
from callrec_pbx.policy.countries import CODE, Countries, Expectation
from callrec_pbx.policy.countries import countries as table_of_countries
from callrec_pbx.policy.load import defaults_of
from callrec_pbx.recorder.prompt_book import prompt_book


def check(
    ctx: typer.Context,
    *,
    country: Annotated[
        list[str] | None,
        typer.Option(
            "--country",
            help="Where callers come from beside the home country, such as DE,DK or US-CA.",
        ),
    ] = None,
    version: VersionOption = None,
    file: PolicyFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Warn of rules that are weaker than a country expects, that never match, or name nobody.

    Exit status 1 when there are warnings; hints alone do not count. This is not legal advice.
    """
    table = table_of_countries()
    named = _codes(country or [])
    now = datetime.now(UTC)
    with site(ctx) as here, progress_bar(quiet=as_json) as bar:
        policy, _ = wanted_policy(here, version, file, now.date())
        with reading(here.engine).begin() as connection:
            acknowledging = acknowledged(connection, policy.people)
        task = bar.add_task("checking", total=len(policy.text.rules))
        found = look_through(
            policy.text,
            policy.people,
            Numbers(),
            prompt_book(here.config),
            named,
            at=now,
            acknowledged=acknowledging,
            defaults=defaults_of(here.config),
            table=table,
            progress=lambda: bar.advance(task),
        )
    if as_json:
        print_json(_document(policy.version, found, table))
    else:
        _print(found, table)
    if any(warning.severity is not Severity.HINT for warning in found):
        raise typer.Exit(1)


def countries(
    code: Annotated[
        str | None, typer.Argument(help="Show one country or state in full, such as DE or US-CA.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is expected of who records calls, by country. This is not legal advice."""
    table = table_of_countries()
    entries = list(table.entries.values()) if code is None else [_entry(code, table)]
    if as_json:
        print_json(
            {
                "disclaimer": table.disclaimer,
                "countries": [entry.model_dump(mode="json") for entry in entries],
            }
        )
    elif code is None:
        _print_table(entries, table)
    else:
        _print_entry(entries[0], table)


def _codes(given: list[str]) -> list[str]:
    codes = [code.strip().upper() for one in given for code in one.split(",") if code.strip()]
    for code in codes:
        if not CODE.fullmatch(code):
            raise typer.BadParameter(
                f"{plain(code)!r} is not the code of a country or state; write such as DE or US-CA",
                param_hint="--country",
            )
    return list(dict.fromkeys(codes))


def _document(version: str, found: list[PolicyWarning], table: Countries) -> dict[str, Any]:
    return {
        "version": version,
        "disclaimer": table.disclaimer,
        "countries_as_of": table.as_of.isoformat(),
        "warnings": [
            {
                "severity": warning.severity,
                "kind": warning.kind,
                "rule": warning.rule,
                "what": warning.what,
                "remedy": warning.remedy,
            }
            for warning in found
        ],
    }


def _print(found: list[PolicyWarning], table: Countries) -> None:
    if not found:
        typer.echo("nothing to warn of")
    for warning in found:
        rule = f" rule {warning.rule}:" if warning.rule else ""
        typer.echo(plain(f"{warning.severity}:{rule} {warning.what}; {warning.remedy}"))
    typer.echo(f"\n{table.disclaimer} Countries as of {table.as_of}.")


def _entry(code: str, table: Countries) -> Expectation:
    entry = table.entries.get(code.upper())
    if entry is None:
        near = table.expectation(code)
        remedy = f"see {near.code}" if near.known else "`callrec-pbx policy countries` shows all"
        raise typer.BadParameter(
            f"{plain(code)!r} has no entry in the table of countries; {remedy}", param_hint="CODE"
        )
    return entry


def _print_table(entries: list[Expectation], table: Countries) -> None:
    shown = Table("Code", "Country", "Expected", "At least", "Opt-out is consent", "Confidence")
    for entry in entries:
        sure = f"{entry.confidence}, disputed" if entry.disputed else entry.confidence
        opt_out = _yes_no(entry)
        shown.add_row(entry.code, entry.name, entry.expectation, entry.weakest, opt_out, str(sure))
    console().print(shown)
    typer.echo(f"{table.disclaimer} As of {table.as_of}.")


def _print_entry(entry: Expectation, table: Countries) -> None:
    shown = Table(show_header=False)
    rows = [
        ("country", f"{entry.name} ({entry.code})"),
        ("expected", entry.expectation),
        ("at least", entry.weakest),
        ("opt-out is consent", _yes_no(entry)),
        ("confidence", entry.confidence),
        ("disputed", "yes" if entry.disputed else "no"),
        ("as of", str(entry.as_of)),
        ("note", entry.note),
        *(("source", f"{one.name}\n{one.link}" if one.link else one.name) for one in entry.sources),
    ]
    for name, value in rows:
        # As Text, brackets in a law's name are no markup.
        shown.add_row(name, Text(str(value)))
    console().print(shown)
    typer.echo(table.disclaimer)


def _yes_no(entry: Expectation) -> str:
    return {True: "yes", False: "no", None: "not known"}[entry.opt_out_is_consent]
