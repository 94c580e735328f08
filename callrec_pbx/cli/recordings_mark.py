"""`callrec-pbx recordings tag` and `flag`: what people note on a recording."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated

import typer
from sqlalchemy import Connection

from callrec_pbx.catalogue import audit
from callrec_pbx.catalogue.amend import amend
from callrec_pbx.catalogue.queries import find_recording
from callrec_pbx.cli.common import plain, print_json, site
from callrec_pbx.cli.people_common import actor
from callrec_pbx.domain.facts import RecordingFacts

LONGEST_TAG = 50
"""Characters of a tag."""
MOST_TAGS = 20
"""Tags of a recording."""

IdArgument = Annotated[str, typer.Argument(help="Its id, or the beginning of it.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def tag(
    ctx: typer.Context,
    recording: IdArgument,
    *,
    add: Annotated[list[str] | None, typer.Option(help="A tag to add; repeatable.")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="A tag to remove; repeatable.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Add tags to a recording, or remove them; without options show them."""
    added = [_checked(one) for one in add or ()]
    removed = {one.strip() for one in remove or ()}

    def change(facts: RecordingFacts) -> RecordingFacts:
        tags = tuple(dict.fromkeys((*(t for t in facts.tags if t not in removed), *added)))
        if len(tags) > MOST_TAGS:
            raise typer.BadParameter(
                f"it would have {len(tags)} tags; at most {MOST_TAGS}, remove some",
                param_hint="--add",
            )
        return replace(facts, tags=tags)

    facts = _amended(ctx, recording, change, "tags")
    if as_json:
        print_json({"recording_id": facts.recording_id, "tags": list(facts.tags)})
    else:
        typer.echo(plain(", ".join(facts.tags)) or "no tags")


def flag(
    ctx: typer.Context,
    recording: IdArgument,
    *,
    off: Annotated[bool, typer.Option("--off", help="Take the flag away.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Flag a recording, so that others find it."""
    facts = _amended(ctx, recording, lambda facts: replace(facts, flagged=not off), "flagged")
    if as_json:
        print_json({"recording_id": facts.recording_id, "flagged": facts.flagged})
    else:
        typer.echo("flagged" if facts.flagged else "not flagged")


def _amended(
    ctx: typer.Context,
    recording: str,
    change: Callable[[RecordingFacts], RecordingFacts],
    what: str,
) -> RecordingFacts:
    # The words of a tag stay out of the trail, which outlives an erasure.
    def note(connection: Connection, facts: RecordingFacts) -> None:
        entry = audit.Entry(
            facts.tenant,
            actor(),
            audit.Action.CHANGE,
            "recording",
            facts.recording_id,
            {"changed": what},
        )
        audit.append(connection, entry)

    with site(ctx) as here:
        found = find_recording(here.engine, recording).recording
        return amend(here.place, found.recording_id, change, note)


def _checked(text: str) -> str:
    tag_ = text.strip()
    if not tag_ or len(tag_) > LONGEST_TAG or not tag_.isprintable():
        raise typer.BadParameter(
            f"{text!r} is no tag; write 1 to {LONGEST_TAG} printable characters",
            param_hint="--add",
        )
    return tag_
