"""Checks of the policy that is in the catalogue."""

from collections.abc import Iterator
from datetime import UTC, datetime

from callrec_pbx.catalogue.engine import CatalogueError, reading
from callrec_pbx.catalogue.migrate import open_current
from callrec_pbx.config import Config
from callrec_pbx.doctor.finding import Finding, fail, ok, warn
from callrec_pbx.domain.people import People
from callrec_pbx.domain.policy import PolicyText
from callrec_pbx.domain.words import Mode, Switch
from callrec_pbx.numbers import Numbers
from callrec_pbx.policy.acknowledgement import acknowledged
from callrec_pbx.policy.check import Severity, check
from callrec_pbx.policy.errors import PolicyError
from callrec_pbx.policy.load import defaults_of, load_policy
from callrec_pbx.recorder.prompt_book import prompt_book

DETAILS = "`callrec-pbx policy check` says more"


def check_policy(config: Config) -> Iterator[Finding]:
    """Somebody is recorded, and the policy has no serious fault."""
    try:
        engine = open_current(config.catalogue.url)
    except CatalogueError:
        return  # the catalogue's check says so
    now = datetime.now(UTC)
    try:
        policy = load_policy(engine, defaults_of(config), now.date()).policy
        with reading(engine).begin() as connection:
            known = acknowledged(connection, policy.people)
    except PolicyError as error:
        yield fail("policy", str(error), "`callrec-pbx policy rollback` brings a former one back")
        return
    finally:
        engine.dispose()
    idle = _idle(policy.text, policy.people)
    if idle is not None:
        yield idle
        return
    found = check(
        policy.text,
        policy.people,
        Numbers(),
        prompt_book(config),
        at=now,
        acknowledged=known,
        defaults=defaults_of(config),
    )
    for one in found:
        where = f'rule "{one.rule}": ' if one.rule else ""
        if one.severity is Severity.SERIOUS:
            yield fail("policy", f"{where}{one.what}", f"{one.remedy}; {DETAILS}")
        elif one.severity is Severity.WARNING:
            yield warn("policy", f"{where}{one.what}", f"{one.remedy}; {DETAILS}")
    if all(one.severity is Severity.HINT for one in found):
        yield ok("policy", f"version {policy.version}, {len(policy.text.rules)} rules")


def _idle(text: PolicyText, people: People) -> Finding | None:
    """Why nobody is recorded at all, if that is so."""
    if not any(rule.mode is not Mode.NEVER and rule.enabled for rule in text.rules):
        return warn(
            "policy",
            "no rule records anything",
            "write rules and apply them: `callrec-pbx policy init`, `callrec-pbx policy apply`",
        )
    if all(tenant.recording is not Switch.ON for tenant in people.tenants.values()):
        return warn(
            "policy",
            "recording is off for every tenant",
            "`callrec-pbx tenant acknowledge`, then `callrec-pbx tenant recording on`",
        )
    return None
