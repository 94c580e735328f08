"""Which tenant is meant where none is named."""

from collections.abc import Sequence

from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.people.errors import PeopleError
from callrec_pbx.people.kinds import KINDS


def which_tenant(named: str | None, tenants: Sequence[str]) -> str:
    """The tenant that is named, or the only one there is.

    Args:
        named: What was given, if anything.
        tenants: The names of all.

    Raises:
        PeopleError: it has to be named, or is not there.
    """
    known = ", ".join(tenants) or "none"
    if named:
        if named not in tenants:
            label = KINDS[Entity.TENANT].label((named,))
            raise PeopleError.one(label, "is not there", f"give one of: {known}")
        return named
    if len(tenants) != 1:
        raise PeopleError.one(
            "tenant", "is not named, and there is more than one", f"give --tenant: {known}"
        )
    return tenants[0]
