"""What looks wrong with a policy: weaker than a country expects, never matching, naming nobody.

Nothing here is legal advice; see `countries`.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import lru_cache

from callrec_pbx.domain.facts import PromptBook
from callrec_pbx.domain.people import People, Site
from callrec_pbx.domain.policy.rules import PolicyText, Rule
from callrec_pbx.domain.policy.settings import BUILT_IN, Filled
from callrec_pbx.domain.words import Mode, Switch
from callrec_pbx.numbers import Numbers
from callrec_pbx.policy import naming
from callrec_pbx.policy.countries import Countries, countries
from callrec_pbx.policy.expected import ConsentCheck
from callrec_pbx.policy.places import Asking, Reach, fits
from callrec_pbx.policy.shadowed import is_over, shadowed
from callrec_pbx.policy.spoken import PromptCheck
from callrec_pbx.policy.warning import (
    PolicyWarning,
    Severity,
    Warnings,
    hint,
    listed,
    serious,
    warning,
)

__all__ = ["PolicyWarning", "Severity", "check"]


def check(
    text: PolicyText,
    people: People,
    numbers: Numbers,
    prompts: PromptBook,
    named: Sequence[str] = (),
    *,
    at: datetime,
    acknowledged: Collection[str] | None = None,
    defaults: Filled = BUILT_IN,
    table: Countries | None = None,
    progress: Callable[[], None] = lambda: None,
) -> list[PolicyWarning]:
    """Look for what is weaker than expected, what can have no effect, and what is missing.

    Args:
        numbers: Reads the rules' patterns of numbers.
        prompts: What is installed.
        named: Countries that callers come from beside the home country.
        at: Now: what is over by then is only mentioned.
        acknowledged: Tenants for which the current text was acknowledged; None: not looked at.
        defaults: What counts where no level says anything.
        table: Of countries; the one that comes with the software without it.
        progress: Called after each rule.

    Returns:
        The warnings, the serious ones first.
    """
    reach = Reach(people)
    asking = Asking(text, defaults)
    consents = ConsentCheck(table or countries(), numbers, named)
    spoken = PromptCheck(people, prompts, defaults.language)
    names = _Names(people)
    found = [
        *_people(people, acknowledged),
        *spoken.of_languages(text),
        *_places(text, people),
        *_order(text, reach, numbers, at),
    ]
    for rule in text.rules:
        idle = _idle(rule, at)
        if idle is not None:
            found.append(idle)
        else:
            found += names.of_rule(rule)
            if rule.mode is not Mode.NEVER:
                groups = asking.groups(rule, reach.of(rule))
                found += consents.of_rule(rule, groups)
                found += spoken.of_rule(rule, groups)
        progress()
    order = list(Severity)
    return sorted(found, key=lambda one: order.index(one.severity))


def _people(people: People, acknowledged: Collection[str] | None) -> Warnings:
    """Tenants and sites whose country is missing, and tenants without acknowledgement."""
    by_tenant: dict[str, list[Site]] = {}
    for site in people.sites.values():
        by_tenant.setdefault(site.tenant, []).append(site)
    for tenant in people.tenants.values():
        sites = by_tenant.get(tenant.name, [])
        without = [site.name for site in sites if not site.country]
        if not tenant.country and (without or not sites):
            whose = f"site {listed(without)} of tenant" if without else "tenant"
            yield warning(
                "country_missing",
                "",
                f"{whose} {tenant.name}: the country is not known, so that national numbers "
                "cannot be read and what is expected there cannot be told",
                "give the site or the tenant a country, such as SE",
            )
        on = tenant.recording is Switch.ON
        if acknowledged is not None and on and tenant.name not in acknowledged:
            yield serious(
                "not_acknowledged",
                "",
                f"tenant {tenant.name}: recording is on, and nobody has acknowledged the current "
                "text of what that asks of the tenant",
                "have whoever answers for it read and acknowledge it: "
                "`callrec-pbx tenant acknowledge`",
            )


def _places(text: PolicyText, people: People) -> Warnings:
    """Settings and holidays of places that are not there."""
    for name in naming.missing(text, people):
        yield serious(
            "unknown_name",
            "",
            f"there are settings or holidays of {name}, which does not exist: they count for "
            "nobody",
            "see that it is spelt right, add it, or remove them",
        )


def _order(text: PolicyText, reach: Reach, numbers: Numbers, at: datetime) -> Warnings:
    """Rules that an earlier one leaves nothing."""
    homes = {spot.home for spot in reach.of(Rule("", Mode.NEVER))}
    home = homes.pop() if len(homes) == 1 else ""
    for rule, by in shadowed(text.rules, at, lambda one: numbers.pattern_e164(one, home)):
        yield warning(
            "never_matches",
            rule.name,
            f"it can never match: rule {by.name}, before it, takes all its calls",
            f"put it before rule {by.name}, or remove it",
        )


def _idle(rule: Rule, at: datetime) -> PolicyWarning | None:
    """That a rule is out of use."""
    if not rule.enabled:
        return hint("disabled", rule.name, "it is disabled", "enable it, or remove it")
    if is_over(rule, at):
        over = f"its time was over on {rule.valid_to:%Y-%m-%d}"
        return hint("expired", rule.name, over, "give it a later valid_to, or remove it")
    return None


class _Names:
    """The names that rules may ask for."""

    def __init__(self, people: People) -> None:
        self._known = {
            "tenant": set(people.tenants),
            "site": {name for _, name in people.sites},
            "department": {name for _, name in people.departments},
            "user": {email for _, email in people.users},
            "profile": {name for one in people.profiles.values() for name in one},
            "queue": set(people.queues),
        }
        self._fits_one = lru_cache(100_000)(self._look_for)

    def of_rule(self, rule: Rule) -> Warnings:
        """Criteria that nobody and nothing fits."""
        for criterion in self._known:
            for pattern in getattr(rule, criterion):
                if not self._fits_one(criterion, pattern):
                    yield warning(
                        "unknown_name",
                        rule.name,
                        f"{criterion} {pattern}: there is none that this fits",
                        f"see that it is spelt right, or add the {criterion}",
                    )

    def _look_for(self, criterion: str, pattern: str) -> bool:
        known = self._known[criterion]
        return pattern in known or any(fits(name, (pattern,)) for name in known)
