"""Checking the audit trail of a catalogue against its anchors; accepting that it differs."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from sqlalchemy import Engine

from callrec_pbx.catalogue import audit_anchor, audit_queries
from callrec_pbx.catalogue.audit import Action, Entry, append, head_of
from callrec_pbx.catalogue.audit_chain import Detail, Head, Line
from callrec_pbx.catalogue.audit_verify import Finding, Wrong, verify
from callrec_pbx.catalogue.engine import reading


def verify_catalogue(
    engine: Engine,
    directory: Path,
    *,
    tenant: str | None = None,
    heads: Iterable[Head] = (),
    counted: Callable[[int], None] = lambda _total: None,
    seen: Callable[[], None] = lambda: None,
) -> Iterator[Finding]:
    """Check all trails, or one, in an amount of memory that does not grow with them.

    Args:
        engine: The catalogue.
        directory: The recordings directory, which has the anchors.
        tenant: Whose trail; empty for that of the installation, None for all.
        heads: Lines that must be there besides what the anchors say.
        counted: Told how many lines there are.
        seen: Told of each line.
    """
    # Before the lines: one that is written meanwhile has its anchor later.
    anchors, problems = audit_anchor.read_all(directory)
    for problem in problems:
        yield Finding("", 0, Wrong.BAD_ANCHOR, problem)
    required = [one for one in (*anchors.values(), *heads) if tenant in (None, one.tenant)]
    trails: set[object] = set()

    def watched(lines: Iterable[Line]) -> Iterator[Line]:
        for line in lines:
            trails.add(line.tenant)
            seen()
            yield line

    with reading(engine).begin() as connection:
        counted(audit_queries.count(connection, tenant))
        yield from verify(watched(audit_queries.everything(connection, tenant)), required)
    for name in sorted(str(one) for one in trails if one not in anchors):
        what = (
            "no anchor says how far it must go, so that its end may have been cut off; compare it "
            "with a copy of the heads (--heads). The next line that is written makes an anchor"
        )
        yield Finding(name, 0, Wrong.NO_ANCHOR, what)


def accept(engine: Engine, directory: Path, tenant: str, *, actor: str, why: str) -> Head:
    """Go on with a trail that is not the one that was anchored, and say so in it.

    Args:
        engine: The catalogue.
        directory: The recordings directory.
        tenant: Whose trail it is.
        actor: Who accepts it.
        why: What has happened, such as a backup that was put back.

    Returns:
        The line that says it, which is the anchor from now on.

    Raises:
        OSError: the anchor could not be written; the line is there.
    """
    try:
        lost = audit_anchor.read(directory, tenant)
    except audit_anchor.AnchorError:
        lost = None
    detail: dict[str, Detail] = {"why": why}
    if lost is not None:
        detail |= {"anchored_seq": lost.seq, "anchored_hash": lost.hash, "anchored_at": lost.at}
    with engine.begin() as connection:
        append(connection, Entry(tenant, actor, Action.CHANGE, "audit", tenant, detail))
        head = head_of(connection, tenant)
    assert head is not None, "it has just been written"  # noqa: S101
    audit_anchor.write(directory, head, force=True)
    return head
