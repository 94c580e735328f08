"""What the commands on recordings and on calls have in common: documents, facts and tables."""

from collections.abc import Iterable
from typing import Any

import typer
from rich.table import Table

from callrec_pbx.cli.common import console, shown, shown_time
from callrec_pbx.domain.facts import CallFacts, ConsentFacts, LegFacts, RecordingFacts
from callrec_pbx.storage.serial import (
    Tombstone,
    call_to_dict,
    recording_to_dict,
    tombstone_to_dict,
)
from callrec_pbx.storage.store import RecordingStore

MOST = 10_000
"""How many of them a list shows at the most."""

Fact = tuple[str, str]
"""A name, and a value that is safe to print."""


def check_limit(limit: int) -> None:
    """Refuse a list that is empty, or longer than anybody reads."""
    if not 1 <= limit <= MOST:
        raise typer.BadParameter(f"{limit}: give 1 to {MOST}", param_hint="--limit")


def call_document(call: CallFacts, *, whole: bool) -> dict[str, Any]:
    """A call for programs; in a list without its legs and consents."""
    document = call_to_dict(call)
    if not whole:
        del document["legs"], document["consents"]
    return document


def recording_document(
    recording: RecordingFacts, tombstone: Tombstone | None, store: RecordingStore
) -> dict[str, Any]:
    """A recording for programs."""
    audio = store.listen_path(recording)
    return {
        "recording": recording_to_dict(recording),
        "tombstone": tombstone_to_dict(tombstone),
        "audio": str(audio),
        "audio_exists": audio.is_file(),
    }


def party_facts(call: CallFacts) -> tuple[Fact, ...]:
    """Who talked to whom, by which way."""
    return (
        ("direction", call.direction or ""),
        ("A number", shown(f"{call.a_number} {call.a_name}")),
        ("B number", shown(call.b_number)),
        ("C number", shown(call.c_number)),
        ("DDI", shown(call.ddi)),
        ("queue", shown(call.queue)),
        ("outcome", shown_outcome(call)),
        ("transfers", shown(", ".join(call.transfers))),
    )


def shown_outcome(call: CallFacts) -> str:
    """What became of a call, and why."""
    return f"{call.outcome or 'open'} {shown(call.reason)}"


def shown_rule(facts: CallFacts | RecordingFacts) -> str:
    """The rule that decided, if one did, and the policy that it is of."""
    policy = f"(policy {shown(facts.policy_version)})" if facts.policy_version else ""
    return f"{shown(facts.rule)} {policy}".strip()


def cleared_facts(what: str, tombstone: Tombstone | None) -> tuple[Fact, ...]:
    """When, by whom and why something was cleared; nothing when it was not."""
    if tombstone is None:
        return ()
    cleared = f"{shown_time(tombstone.pruned_at)} by {tombstone.pruned_by}: {tombstone.why}"
    return ((f"{what} cleared", shown(cleared)),)


def print_facts(facts: Iterable[Fact]) -> None:
    """Facts below each other, without those that are not known."""
    table = Table.grid(padding=(0, 2))
    for name, value in facts:
        if value.strip():
            table.add_row(name, value)
    console().print(table)


def print_legs(legs: Iterable[LegFacts]) -> None:
    """The channels of a call."""
    table = Table("Leg", "Kind", "Line", "Number", "Name", "Channel", "Bridged", "Ended")
    for leg in legs:
        table.add_row(
            shown(leg.leg),
            leg.kind,
            shown(leg.line),
            shown(leg.number),
            shown(leg.name),
            shown(leg.channel),
            shown_time(leg.bridged_at),
            shown_time(leg.ended_at),
        )
    print_filled(table)


def print_consents(consents: Iterable[ConsentFacts]) -> None:
    """Who was asked what, and what came of it."""
    table = Table("Consent of", "Number", "Asked", "Outcome", "Key", "Prompt", "Played")
    for consent in consents:
        table.add_row(
            shown(consent.party),
            shown(consent.number),
            consent.mode,
            consent.outcome,
            shown(consent.key),
            shown(f"{consent.language} {consent.prompt} {consent.prompt_sha256[:12]}".strip()),
            f"{consent.played_ms} of {consent.prompt_ms} ms",
        )
    print_filled(table)


def print_filled(table: Table) -> None:
    """Print a table that has rows; nothing for one without."""
    if table.row_count:
        console().print(table)
