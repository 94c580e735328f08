"""Whom a policy names: found, carried to another name, and taken out, never for more than before.

Settings and holidays name places; a rule's criterion names whoever it is exactly. Patterns are
nobody's name, and stay as they are.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.config.explain import shown_value
from callrec_pbx.domain.patterns import compiled, is_exact
from callrec_pbx.domain.people import Line, People, Profile, Tenant
from callrec_pbx.domain.policy.rules import Holiday, PolicyText, Rule
from callrec_pbx.people.kinds import DEFAULT_TENANT, KIND_OF, KINDS, Thing

CRITERIA = (
    Entity.TENANT,
    Entity.DDI,
    Entity.QUEUE,
    Entity.DEPARTMENT,
    Entity.USER,
    Entity.LINE,
    Entity.SITE,
)
"""Kinds that rules name, in criteria that are called as they are."""

PLACES = (Entity.SITE, Entity.DEPARTMENT)
OF_NO_TENANT = (Entity.TENANT, Entity.DDI, Entity.QUEUE)
"""Kinds whose names are unique on the whole PBX."""


@dataclass(frozen=True, slots=True)
class Gone:
    """A name that somebody no longer has.

    Attributes:
        tenant: The tenant, as the text names it.
        still: Tenants in which somebody else has the name.
        new: The name in its place; empty for none.
        taken: Tenants in which somebody else has the new name.
    """

    entity: Entity
    tenant: str
    old: str
    still: frozenset[str] = frozenset()
    new: str = ""
    taken: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Named:
    """The names that a text has, to be asked for one of many."""

    exact: frozenset[tuple[Entity, str]]
    patterns: frozenset[tuple[Entity, str]]

    def may_be(self, entity: Entity, name: str) -> bool:
        """Whether anything there is that name, or a pattern that it fits."""
        return (entity, name) in self.exact or _fits(
            name, [pattern for one, pattern in self.patterns if one is entity]
        )


def tenant_of(thing: Thing) -> str:
    """The tenant that a thing belongs to, or is."""
    return thing.name if isinstance(thing, Tenant) else thing.tenant


def names_of(thing: Thing) -> tuple[str, ...]:
    """What a text may call a thing; nothing where it does not name its kind."""
    if isinstance(thing, Profile):
        return ()  # the name of many users' profiles
    if isinstance(thing, Line):
        endpoint = thing.endpoint if is_exact(thing.endpoint) else ""
        return (thing.extension, endpoint) if endpoint else (thing.extension,)
    return (KIND_OF[type(thing)].key_of(thing)[-1],)


def renamed_from(old: Thing, new: Thing) -> Iterator[tuple[str, str]]:
    """The names that a thing has no longer, each with the one in its place."""
    kept = names_of(new)
    for name in names_of(old):
        if name in kept:
            continue
        if isinstance(old, Line) and isinstance(new, Line):
            if _fits(name, (new.endpoint,)):
                continue  # one of several phones by now
            by_extension = name == old.extension or not is_exact(new.endpoint)
            yield name, new.extension if by_extension else new.endpoint or new.extension
        else:
            yield name, kept[-1]


def named(text: PolicyText) -> Named:
    """All names of a text."""
    exact: set[tuple[Entity, str]] = set()
    patterns: set[tuple[Entity, str]] = set()
    for place in text.places:
        exact.add((Entity.TENANT, place.tenant))
        exact.add((Entity(place.kind), place.name or place.tenant))
    for holiday in text.holidays:
        exact.add((Entity.TENANT, holiday.tenant))
        exact.update((Entity.SITE, site) for site in holiday.sites)
    for rule in text.rules:
        for entity in CRITERIA:
            for value in getattr(rule, entity):
                (exact if is_exact(value) else patterns).add((entity, value))
    return Named(frozenset(exact), frozenset(patterns))


def missing(text: PolicyText, people: People) -> tuple[str, ...]:
    """The places of settings and holidays that are not there."""
    there: dict[Entity, Collection[tuple[str, ...]]] = {
        Entity.TENANT: {(name,) for name in people.tenants},
        Entity.SITE: set(people.sites),
        Entity.DEPARTMENT: set(people.departments),
    }
    found: list[str] = []
    for place in text.places:
        key = (place.tenant, place.name) if place.name else (place.tenant,)
        if key not in there[Entity(place.kind)]:
            found.append(KINDS[Entity(place.kind)].label(key))
    sites = {name for _, name in people.sites}
    for holiday in text.holidays:
        if holiday.tenant and holiday.tenant not in people.tenants:
            found.append(KINDS[Entity.TENANT].label((holiday.tenant,)))
            continue
        for site in holiday.sites:
            known = (holiday.tenant, site) in people.sites if holiday.tenant else site in sites
            if not known:
                found.append(KINDS[Entity.SITE].label((holiday.tenant or DEFAULT_TENANT, site)))
    return tuple(dict.fromkeys(found))


def carried(text: PolicyText, gone: Sequence[Gone]) -> tuple[PolicyText, tuple[str, ...]]:
    """The text with other names for the same people and places, all of them at once.

    Where others still have the old name, criteria name both.

    Args:
        gone: Names with those in their places; the tenants' own are not among other kinds'.

    Returns:
        The text, and what would be for others than before: then it must not be used.
    """
    problems: list[str] = []
    tenants = {one.old: one.new for one in gone if one.entity is Entity.TENANT}
    places_names = {
        (one.entity, one.tenant, one.old): one.new for one in gone if one.entity in PLACES
    }
    places = tuple(
        replace(
            place,
            tenant=tenants.get(place.tenant, place.tenant),
            name=places_names.get((Entity(place.kind), place.tenant, place.name), place.name),
        )
        for place in text.places
    )
    seen: set[tuple[str, str, str]] = set()
    for place in places:
        key = (place.kind, place.tenant, place.name)
        if key in seen:
            name = place.name or place.tenant
            problems.append(f"there are settings of a {place.kind} {name} that is not there")
        seen.add(key)
    holidays = []
    for holiday in text.holidays:
        sites, wrong = _carried(holiday.sites, Entity.SITE, gone, _of_tenant(holiday))
        problems += [f"{_holiday_label(holiday)} {one}" for one in wrong]
        tenant = tenants.get(holiday.tenant, holiday.tenant)
        holidays.append(replace(holiday, tenant=tenant, sites=sites))
    rules = []
    for rule in text.rules:
        values = {}
        for entity in {one.entity for one in gone}:
            values[str(entity)], wrong = _carried(
                getattr(rule, entity), entity, gone, _of_rule(rule, entity)
            )
            problems += [f"rule {shown_value(rule.name)} {one}" for one in wrong]
        changed = {name: value for name, value in values.items() if value != getattr(rule, name)}
        rules.append(replace(rule, **changed) if changed else rule)  # type: ignore[arg-type]
    carried_text = replace(text, places=places, holidays=tuple(holidays), rules=tuple(rules))
    return carried_text, tuple(dict.fromkeys(problems))


def uses(text: PolicyText, gone: Sequence[Gone]) -> tuple[str, ...]:
    """Where a text names what is gone."""
    found: list[str] = []
    where = _where(gone)
    for place in text.places:
        if _is_of(place.kind, place.tenant, place.name, where):
            name = place.name or place.tenant
            found.append(f"the settings of {place.kind} {name} ([[{place.kind}]])")
    found += [
        _holiday_label(holiday) for holiday in text.holidays if _left(holiday, gone) != holiday
    ]
    for rule in text.rules:
        for entity in CRITERIA:
            kept = _kept(getattr(rule, entity), entity, gone, _of_rule(rule, entity))
            if kept != getattr(rule, entity):
                found.append(f"rule {shown_value(rule.name)} ({entity})")
    return tuple(found)


def without(text: PolicyText, gone: Sequence[Gone]) -> tuple[PolicyText, tuple[str, ...]]:
    """The text without what is gone; a holiday of nothing else goes, too.

    Returns:
        The text, and the rules for which nothing else was: then it must not be used, as they would
        be for everybody.
    """
    problems: list[str] = []
    where = _where(gone)
    rules = []
    for rule in text.rules:
        changed = {}
        for entity in CRITERIA:
            before = getattr(rule, entity)
            kept = _kept(before, entity, gone, _of_rule(rule, entity))
            if before and not kept:
                problems.append(f"rule {shown_value(rule.name)} ({entity})")
            if kept != before:
                changed[str(entity)] = kept
        rules.append(replace(rule, **changed) if changed else rule)  # type: ignore[arg-type]
    text = replace(
        text,
        places=tuple(
            place
            for place in text.places
            if not _is_of(place.kind, place.tenant, place.name, where)
        ),
        holidays=tuple(
            left for holiday in text.holidays if (left := _left(holiday, gone)) is not None
        ),
        rules=tuple(rules),
    )
    return text, tuple(problems)


def patterns_left(text: PolicyText, gone: Sequence[Gone]) -> tuple[str, ...]:
    """The rules of which a pattern fits an old name, and nothing the new one."""
    return tuple(
        f"rule {shown_value(rule.name)}: {one.entity} {pattern} fits {one.old}, and not {one.new}"
        for rule in text.rules
        for one in gone
        for pattern in getattr(rule, one.entity)
        if not is_exact(pattern)
        and _of_rule(rule, one.entity)(one.tenant)
        and _fits(one.old, (pattern,))
        and not _fits(one.new, getattr(rule, one.entity))
    )


Admits = Callable[[str], bool]
"""Whether something is for a tenant."""


def _of_rule(rule: Rule, entity: Entity) -> Admits:
    def admits(tenant: str) -> bool:
        return entity in OF_NO_TENANT or not rule.tenant or _fits(tenant, rule.tenant)

    return admits


def _of_tenant(holiday: Holiday) -> Admits:
    return lambda tenant: holiday.tenant in ("", tenant)


def _carried(
    values: tuple[str, ...], entity: Entity, gone: Sequence[Gone], admits: Admits
) -> tuple[tuple[str, ...], list[str]]:
    """A criterion with the new names, and for whom it would be beside those it is for."""
    found: list[str] = []
    problems = []
    for value in values:
        hits = [
            one for one in gone if one.entity is entity and one.old == value and admits(one.tenant)
        ]
        if not hits or any(admits(tenant) for one in hits for tenant in one.still):
            found.append(value)
        for one in hits:
            found.append(one.new)
            others = [tenant for tenant in sorted(one.taken) if admits(tenant)]
            if others and not _fits(one.new, values):
                problems.append(f"would be for {entity} {one.new} of tenant {others[0]}, too")
    return tuple(dict.fromkeys(found)), problems


def _kept(
    values: tuple[str, ...], entity: Entity, gone: Sequence[Gone], admits: Admits
) -> tuple[str, ...]:
    """A criterion without the names that nobody has any more."""
    return tuple(
        value
        for value in values
        if not any(
            one.entity is entity
            and one.old == value
            and admits(one.tenant)
            and not any(admits(tenant) for tenant in one.still)
            for one in gone
        )
    )


def _left(holiday: Holiday, gone: Sequence[Gone]) -> Holiday | None:
    """A holiday where it still is one."""
    if any(one.entity is Entity.TENANT and one.old == holiday.tenant for one in gone):
        return None
    sites = _kept(holiday.sites, Entity.SITE, gone, _of_tenant(holiday))
    return None if holiday.sites and not sites else replace(holiday, sites=sites)


Where = Collection[tuple[str, str, str]]


def _where(gone: Sequence[Gone]) -> Where:
    """The places among what is gone."""
    return {
        (str(one.entity), one.tenant, "" if one.entity is Entity.TENANT else one.old)
        for one in gone
        if one.entity in (Entity.TENANT, *PLACES)
    }


def _is_of(kind: str, tenant: str, name: str, where: Where) -> bool:
    """Whether settings are those of one of the places, or of anything of one of the tenants."""
    return (kind, tenant, name) in where or (str(Entity.TENANT), tenant, "") in where


def _holiday_label(holiday: Holiday) -> str:
    return f"holiday {holiday.day.isoformat()} {holiday.name}".strip()


def _fits(name: str, patterns: Collection[str]) -> bool:
    return any(
        name == pattern if is_exact(pattern) else compiled(pattern).fullmatch(name) is not None
        for pattern in patterns
    )
