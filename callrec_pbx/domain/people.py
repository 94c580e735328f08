"""People and places: who and where a line, a queue or a dialled number belongs to.

Names of sites, departments and users are unique within a tenant; what the PBX sees (endpoints,
DDIs, queues) is unique on the whole PBX.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from callrec_pbx.domain.patterns import PatternTable
from callrec_pbx.domain.words import Device, OnQuota, Switch


@dataclass(frozen=True, slots=True)
class Tenant:
    """A company.

    Attributes:
        user_switch: Whether only users whose recording is switched on are recorded (add-on).
        concurrent_limit: Recordings that may run at the same time; None: any number.
        country: ISO 3166 code of two letters, such as `SE`.
        time_zone: IANA name, such as `Europe/Stockholm`.
        holidays: Country, with subdivision where needed, such as `SE` or `DE-BY`; empty for none.
        outside_prefix: Digits dialled for an outside line, which are no part of a number.
        quota_gb: Room that its recordings may take (GB of 10^9 bytes); None: any.
        on_quota: What happens when they take more.
    """

    name: str
    recording: Switch = Switch.OFF_NEW
    user_switch: bool = False
    concurrent_limit: int | None = None
    language: str = ""
    country: str = ""
    time_zone: str = "UTC"
    holidays: str = ""
    outside_prefix: str = ""
    quota_gb: int | None = None
    on_quota: OnQuota = OnQuota.WARN


@dataclass(frozen=True, slots=True)
class Site:
    """A location of a tenant; what is empty is as the tenant has it."""

    tenant: str
    name: str
    language: str = ""
    country: str = ""
    time_zone: str = ""
    holidays: str = ""
    outside_prefix: str = ""


@dataclass(frozen=True, slots=True)
class Department:
    """A department; it may be at one site."""

    tenant: str
    name: str
    site: str = ""


@dataclass(frozen=True, slots=True)
class User:
    """A person.

    Attributes:
        recording: Whether recording is switched on for the user; counts where the tenant has
            `user_switch`.
        profile: The active profile's name, empty for none.
        retention: The user's retention plan; empty: the next level's.
    """

    tenant: str
    email: str
    name: str = ""
    language: str = ""
    country: str = ""
    department: str = ""
    site: str = ""
    recording: bool = True
    profile: str = ""
    retention: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a user is doing (Available, Lunch, Abroad ...).

    Attributes:
        record_direct: Whether calls to or from the user's own lines, not through a queue, may be
            recorded while the profile is active.
        code: Digits that switch to it when dialled after the profile code, empty for none.
    """

    tenant: str
    user: str
    name: str
    record_direct: bool = True
    code: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """An extension.

    Attributes:
        endpoint: The PBX's endpoint, or a pattern with `*` and `?`; empty: like the extension.
        user: E-mail of the user whose line it is, empty for nobody's.
    """

    tenant: str
    extension: str
    endpoint: str = ""
    user: str = ""
    device: Device = Device.DESK


@dataclass(frozen=True, slots=True)
class Ddi:
    """A dialled direct number, as the dialplan offers it."""

    tenant: str
    number: str
    site: str = ""
    language: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue, by its name on the PBX, with its retention plan or none."""

    tenant: str
    name: str
    site: str = ""
    department: str = ""
    language: str = ""
    retention: str = ""


@dataclass(frozen=True, slots=True)
class Belonging:
    """Where a call, as far as one line is concerned, belongs; None and empty: not known."""

    tenant: Tenant | None = None
    site: Site | None = None
    department: str = ""
    user: User | None = None
    line: Line | None = None
    ddi: Ddi | None = None
    queue: Queue | None = None


@dataclass(slots=True)
class People:
    """Everybody, with an index for each question that a decision asks."""

    tenants: dict[str, Tenant] = field(default_factory=dict)
    sites: dict[tuple[str, str], Site] = field(default_factory=dict)
    departments: dict[tuple[str, str], Department] = field(default_factory=dict)
    users: dict[tuple[str, str], User] = field(default_factory=dict)
    profiles: dict[tuple[str, str], dict[str, Profile]] = field(default_factory=dict)
    ddis: dict[str, Ddi] = field(default_factory=dict)
    queues: dict[str, Queue] = field(default_factory=dict)
    _endpoints: PatternTable[Line] = field(default_factory=lambda: PatternTable(()))
    _extensions: dict[str, dict[str, Line]] = field(default_factory=dict)
    _of_user: dict[tuple[str, str], list[Line]] = field(default_factory=dict)
    _active: dict[tuple[str, str], str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        tenants: Iterable[Tenant] = (),
        *,
        sites: Iterable[Site] = (),
        departments: Iterable[Department] = (),
        users: Iterable[User] = (),
        profiles: Iterable[Profile] = (),
        lines: Iterable[Line] = (),
        ddis: Iterable[Ddi] = (),
        queues: Iterable[Queue] = (),
    ) -> "People":
        """Build the indexes; of two that the PBX cannot tell apart the first counts."""
        people = cls(
            {tenant.name: tenant for tenant in tenants},
            {(site.tenant, site.name): site for site in sites},
            {(department.tenant, department.name): department for department in departments},
            {(user.tenant, user.email): user for user in users},
        )
        for profile in profiles:
            people.profiles.setdefault((profile.tenant, profile.user), {})[profile.name] = profile
        for ddi in ddis:
            people.ddis.setdefault(ddi.number, ddi)
        for queue in queues:
            people.queues.setdefault(queue.name, queue)
        listed = tuple(lines)
        people._endpoints = PatternTable((line.endpoint or line.extension, line) for line in listed)
        for line in listed:
            people._extensions.setdefault(line.extension, {}).setdefault(line.tenant, line)
            people._of_user.setdefault((line.tenant, line.user), []).append(line)
        return people

    def line_of(self, name: str, tenant: str = "") -> Line | None:
        """The line of an endpoint or, as an offer may name it so, of an extension.

        Args:
            tenant: Whose line it must be, where that is known: its extension comes first then,
                as another tenant may have an endpoint of that name.
        """
        extensions = self._extensions.get(name, {})
        if tenant:
            if tenant in extensions:
                return extensions[tenant]
            return next(
                (line for line in self._endpoints.find(name) if line.tenant == tenant), None
            )
        first = next(self._endpoints.find(name), None)
        if first is not None:
            return first
        # An extension that two tenants have tells nothing.
        return next(iter(extensions.values())) if len(extensions) == 1 else None

    def lines_of(self, user: User) -> list[Line]:
        """The lines of a user."""
        return list(self._of_user.get((user.tenant, user.email), ()))

    def lines(self) -> list[Line]:
        """All lines."""
        return [line for several in self._of_user.values() for line in several]

    def profile_of(self, user: User) -> Profile | None:
        """The active profile of a user."""
        key = (user.tenant, user.email)
        name = self._active.get(key, user.profile)
        return self.profiles.get(key, {}).get(name)

    def switch(self, tenant: str, email: str, profile: str) -> None:
        """Note that a user has switched to a profile; empty for none."""
        self._active[tenant, email] = profile

    def switched(self, tenant: str, email: str, profile: str) -> "People":
        """The same people after a user has switched; all else is shared with these."""
        return replace(self, _active=self._active | {(tenant, email): profile})

    def belonging(
        self, line: str | None, ddi: str, queue: str, *, endpoint: bool = False
    ) -> Belonging:
        """Where a call belongs: by its line, else by its queue, else by its DDI.

        Args:
            endpoint: Whether the line is given as the PBX's endpoint, and not as whoever wrote the
                dialplan may call it: then it is the line, whosever queue or DDI brought the call.
        """
        of_ddi = self.ddis.get(ddi) if ddi else None
        of_queue = self.queues.get(queue) if queue else None
        of_line = None
        if line:
            dialled = None if endpoint else self._tenant_named(of_queue, of_ddi)
            of_line = self.line_of(line, dialled or "")
        tenant = self._tenant(of_line, of_queue, of_ddi)
        if tenant is None:
            return Belonging(line=of_line, ddi=of_ddi, queue=of_queue)
        user = self.users.get((tenant.name, of_line.user)) if of_line and of_line.user else None
        # While nobody has answered, the queue's department is as near as one comes.
        department = user.department if user else ""
        if not department and line is None and of_queue:
            department = of_queue.department
        return Belonging(
            tenant=tenant,
            site=self._site(tenant.name, user, department, of_queue, of_ddi),
            department=department,
            user=user,
            line=of_line,
            ddi=of_ddi,
            queue=of_queue,
        )

    def _tenant_named(self, *known: Queue | Ddi | None) -> str | None:
        return next((one.tenant for one in known if one is not None), None)

    def _tenant(self, *known: Line | Queue | Ddi | None) -> Tenant | None:
        for one in known:
            if one is not None and one.tenant in self.tenants:
                return self.tenants[one.tenant]
        # With one tenant there is nothing to tell apart.
        return next(iter(self.tenants.values())) if len(self.tenants) == 1 else None

    def _site(
        self, tenant: str, user: User | None, department: str, queue: Queue | None, ddi: Ddi | None
    ) -> Site | None:
        of_department = self.departments.get((tenant, department))
        names = (
            user.site if user else "",
            of_department.site if of_department else "",
            queue.site if queue else "",
            ddi.site if ddi else "",
        )
        for name in names:
            site = self.sites.get((tenant, name)) if name else None
            if site is not None:
                return site
        return None
