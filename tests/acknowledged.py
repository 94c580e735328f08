"""A tenant that is recorded, without the commands that an administrator types for it."""

from sqlalchemy import Engine

from callrec_pbx.catalogue.engine import reading
from callrec_pbx.domain.words import Switch
from callrec_pbx.people.acknowledgement import acknowledge, acknowledgements
from callrec_pbx.people.kinds import Thing
from callrec_pbx.policy.acknowledgement import TEXT_SHA256, TEXT_VERSION
from callrec_pbx.policy.people import changing


def switch_on(engine: Engine, tenant: str = "default") -> None:
    """Acknowledge for the tenant what recording asks of it, and switch recording on."""
    text = {"text_version": TEXT_VERSION, "text_sha256": TEXT_SHA256}
    with reading(engine).begin() as connection:
        known = acknowledgements(connection, tenant)
    if not known:
        acknowledge(engine, tenant, who="Test", **text)
    with changing(engine, author="test") as changes:
        changes.switch_recording(tenant, Switch.ON, **text)


def add(engine: Engine, *things: Thing) -> None:
    """Add people and places."""
    with changing(engine, author="test") as changes:
        for thing in things:
            changes.add(thing)
