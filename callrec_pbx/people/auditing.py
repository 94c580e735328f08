"""What the audit trail says of a change of people and places; the version has the rest."""

from collections.abc import Sequence

from callrec_pbx.catalogue.audit import Detail
from callrec_pbx.domain.people import Tenant
from callrec_pbx.people.change import Change
from callrec_pbx.people.kinds import Thing


def trails_of(changes: Sequence[Change]) -> dict[str, dict[str, Detail]]:
    """What is said in the trail of each tenant that a change is about.

    A tenant that gets another name gets another trail; the line that says so is in both.
    """
    by_tenant: dict[str, list[Change]] = {}
    for change in changes:
        things = (change.before, change.after)
        for tenant in {_tenant_of(thing) for thing in things if thing is not None}:
            by_tenant.setdefault(tenant, []).append(change)
    return {tenant: _told(several) for tenant, several in by_tenant.items()}


def _tenant_of(thing: Thing) -> str:
    return thing.name if isinstance(thing, Tenant) else thing.tenant


def _told(changes: Sequence[Change]) -> dict[str, Detail]:
    if len(changes) > 1:
        return {
            "added": sum(change.before is None for change in changes),
            "removed": sum(change.after is None for change in changes),
            "changed": sum(bool(change.differences) for change in changes),
        }
    (change,) = changes
    told: dict[str, Detail] = {"what": change.label}
    if change.before is None:
        return told | {"did": "added"}
    if change.after is None:
        return told | {"did": "removed"}
    told |= {"did": "changed", "fields": " ".join(one.field for one in change.differences)}
    for one in change.differences:
        # Whether somebody is recorded, and what a trail goes on under, is worth its value.
        if one.field == "recording" or (one.field == "name" and isinstance(change.after, Tenant)):
            told[one.field] = one.new
    return told
