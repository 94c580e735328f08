"""Where a rule may match, and what it asks of the other party there."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from callrec_pbx.domain.patterns import compiled, is_exact
from callrec_pbx.domain.people import People, Site
from callrec_pbx.domain.policy.asking import STRICTNESS, announced
from callrec_pbx.domain.policy.rules import PolicyText, Rule
from callrec_pbx.domain.policy.settings import SUPPRESS, Filled, Level, Settings, resolve
from callrec_pbx.domain.words import ConsentMode, Direction


@dataclass(frozen=True, slots=True)
class Spot:
    """A place that calls may belong to; empty where nothing is known.

    Attributes:
        home: The site's country, else the tenant's.
        country: The user's, else the home country.
    """

    tenant: str = ""
    site: str = ""
    department: str = ""
    home: str = ""
    country: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.tenant, self.site, self.department) if part)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the other party is asked, and what says so.

    Attributes:
        announcement: The name of the announcement that is played, empty for the built-in one.
    """

    consent: ConsentMode
    origin: str
    announcement: str

    def strength(self) -> int:
        """How much is asked, for comparison."""
        return STRICTNESS.index(self.consent)


@dataclass(frozen=True, slots=True)
class Group:
    """Places where the same is asked, and the same may be expected, in one direction."""

    tenant: str
    home: str
    country: str
    direction: Direction
    asked: Asked
    spots: tuple[Spot, ...]


class Reach:
    """The places of all people, for rules to be looked for."""

    def __init__(self, people: People) -> None:
        self._people = people
        self._by_user: dict[tuple[str, str], Spot] = {
            key: self._spot(user.tenant, (user.site,), user.department, user.country)
            for key, user in people.users.items()
        }
        self._of_users = tuple(dict.fromkeys(self._by_user.values()))
        bare = [self._spot(name) for name in people.tenants]
        bare += [self._spot(site.tenant, (site.name,)) for site in people.sites.values()]
        bare += [
            self._spot(place.tenant, department=place.name) for place in people.departments.values()
        ]
        self._bare = tuple(dict.fromkeys(bare)) or (Spot(),)
        self._by_email: dict[str, list[Spot]] = {}
        for (_, email), spot in self._by_user.items():
            self._by_email.setdefault(email, []).append(spot)
        self._of_queues = {
            queue.name: [self._spot(queue.tenant, (queue.site,), queue.department)]
            for queue in people.queues.values()
        }
        self._of_ddis = {
            ddi.number: [self._spot(ddi.tenant, (ddi.site,))] for ddi in people.ddis.values()
        }
        self._found: dict[tuple[tuple[str, ...], ...], tuple[Spot, ...]] = {}

    def of(self, rule: Rule) -> tuple[Spot, ...]:
        """The places where a rule may match."""
        line = rule.line if all(map(is_exact, rule.line)) else ()
        key = (rule.tenant, rule.site, rule.department, rule.user, line, rule.queue, rule.ddi)
        if key not in self._found:
            self._found[key] = tuple(
                spot
                for spot in dict.fromkeys(self._look(rule, line))
                if (not rule.tenant or fits(spot.tenant, rule.tenant))
                and (not rule.site or fits(spot.site, rule.site))
                and (not rule.department or fits(spot.department, rule.department))
            )
        return self._found[key]

    def _look(self, rule: Rule, line: tuple[str, ...]) -> Iterator[Spot]:
        """The places of those who may take part, of whatever tenant, site and department."""
        if rule.user:
            yield from _fitting(self._by_email, rule.user)
            return
        if line:
            yield from self._of_lines(line)
            return
        entrances = [
            *_fitting(self._of_queues, rule.queue),
            *_fitting(self._of_ddis, rule.ddi),
        ]
        # Who answers a queue or a DDI is not known: anybody of its tenant may.
        tenants = {spot.tenant for spot in entrances}
        for spot in (*self._of_users, *self._bare):
            if not tenants or spot.tenant in tenants:
                yield spot
        yield from entrances

    def _of_lines(self, lines: Iterable[str]) -> Iterator[Spot]:
        for name in lines:
            line = self._people.line_of(name)
            if line is None:
                yield from (*self._of_users, *self._bare)
            elif (line.tenant, line.user) in self._by_user:
                yield self._by_user[line.tenant, line.user]
            else:
                yield self._spot(line.tenant)

    def _spot(
        self, tenant: str, sites: tuple[str, ...] = (), department: str = "", country: str = ""
    ) -> Spot:
        people = self._people
        of_department = people.departments.get((tenant, department))
        names = (*sites, of_department.site if of_department else "")
        site: Site | None = None
        for name in names:
            site = site or people.sites.get((tenant, name))
        company = people.tenants.get(tenant)
        home = (site.country if site else "") or (company.country if company else "")
        return Spot(tenant, site.name if site else "", department, home, country or home)


class Asking:
    """What a rule asks of the other party at a place."""

    def __init__(self, text: PolicyText, defaults: Filled) -> None:
        self._places = {
            (place.kind, place.tenant, place.name): place.settings for place in text.places
        }
        self._defaults = defaults
        self._resolved = lru_cache(100_000)(self._resolve)
        self._groups: dict[
            tuple[Settings, tuple[Direction, ...], bool, tuple[Spot, ...]], tuple[Group, ...]
        ] = {}

    def of(self, settings: Settings, spot: Spot, direction: Direction) -> Asked:
        """What a rule with these settings asks at a place, as a decision says it."""
        filled, origin = self._resolved(settings, spot.tenant, spot.site, spot.department)
        consent, instead = announced(filled, direction)
        name = "" if filled.announcement == SUPPRESS else filled.announcement
        return Asked(consent, instead or origin, name)

    def groups(self, rule: Rule, spots: tuple[Spot, ...]) -> tuple[Group, ...]:
        """What a rule asks, at all places and in all directions in which it may match."""
        directions = rule.direction or tuple(Direction)
        if rule.number or rule.ddi or rule.trunk:
            directions = tuple(one for one in directions if one is not Direction.INTERNAL)
        key = (rule.settings, directions, bool(rule.queue), spots)
        if key not in self._groups:
            self._groups[key] = self._grouped(*key)
        return self._groups[key]

    def _grouped(
        self,
        settings: Settings,
        directions: tuple[Direction, ...],
        queued: bool,
        spots: tuple[Spot, ...],
    ) -> tuple[Group, ...]:
        found: dict[tuple[str, str, str, Direction, Asked], list[Spot]] = {}
        for direction in directions:
            asked = [self.of(settings, spot, direction) for spot in spots]
            # Before somebody answers a queue, the most is asked that any of them would.
            if queued and direction is not Direction.OUTBOUND and asked:
                asked = [max(asked, key=Asked.strength)] * len(asked)
            for spot, one in zip(spots, asked, strict=True):
                key = (spot.tenant, spot.home, spot.country, direction, one)
                found.setdefault(key, []).append(spot)
        return tuple(Group(*key, tuple(those)) for key, those in found.items())

    def _resolve(
        self, settings: Settings, tenant: str, site: str, department: str
    ) -> tuple[Filled, str]:
        """The settings that count at a place, and where consent comes from."""
        levels = [Level("the rule", settings)]
        for kind, name in (("department", department), ("site", site), ("tenant", "")):
            of_place = self._places.get((kind, tenant, name)) if name or kind == "tenant" else None
            if of_place is not None:
                levels.append(Level(f"{kind} {name or tenant}", of_place))
        filled, inherited = resolve(tuple(levels), self._defaults)
        return filled, next(one.origin for one in inherited if one.setting == "consent")


def _fitting(spots: dict[str, list[Spot]], patterns: tuple[str, ...]) -> Iterator[Spot]:
    for pattern in patterns:
        if is_exact(pattern):
            yield from spots.get(pattern, ())
            continue
        regex = compiled(pattern)
        for name, those in spots.items():
            if regex.fullmatch(name):
                yield from those


def fits(value: str, patterns: Iterable[str]) -> bool:
    """Whether a value fits any of the patterns; what is not known fits none."""
    return value != "" and any(
        value == pattern if is_exact(pattern) else _regex(pattern).fullmatch(value) is not None
        for pattern in patterns
    )


_regex = lru_cache(10_000)(compiled)
