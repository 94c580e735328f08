"""How much room the recordings of each tenant take, of how much."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from sqlalchemy import Engine, case, func, select

from callrec_pbx import metrics
from callrec_pbx.catalogue.engine import reading
from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.catalogue.rows import RECORDING
from callrec_pbx.domain.people import Tenant
from callrec_pbx.domain.words import OnQuota, RecordingState
from callrec_pbx.people.rows import read

GB = 10**9
NEARLY = 0.9
"""From this share of a quota on there is a warning."""

log = structlog.get_logger(__name__)

S = RecordingState


@dataclass(frozen=True, slots=True)
class Usage:
    """What the recordings of a tenant take.

    Attributes:
        tenant: Its name as the recordings have it; empty for those of nobody.
        used: Bytes of audio that is kept.
        quota: Bytes that it may take; None: any.
        on_quota: What happens when it takes more; None where there is no tenant of that name.
    """

    tenant: str
    recordings: int
    used: int
    quota: int | None = None
    on_quota: OnQuota | None = None

    @property
    def share(self) -> float | None:
        """Used, of the quota; None where there is none."""
        return None if self.quota is None else self.used / self.quota

    @property
    def full(self) -> bool:
        """Whether there is no room left."""
        return self.quota is not None and self.used >= self.quota

    @property
    def over(self) -> int:
        """Bytes that must go before there is room again."""
        return 0 if self.quota is None else max(0, self.used - self.quota + 1)

    def __str__(self) -> str:
        """The use in words, for reasons and warnings."""
        room = f"{self.used / GB:.2f} GB"
        return room if self.quota is None else f"{room} of {self.quota // GB} GB"


def usages(engine: Engine) -> list[Usage]:
    """Of every tenant, and of the names of former ones that recordings still have.

    Looks at every recording that is there; not for the event loop.
    """
    wav = case((RECORDING.c.has_wav, func.coalesce(RECORDING.c.size, 0)), else_=0)
    used = func.sum(wav + func.coalesce(RECORDING.c.encoded_size, 0))
    query = (
        select(RECORDING.c.tenant, func.count(), used)
        .where(RECORDING.c.state.in_((S.STORED, S.INTERRUPTED, S.FAILED)))
        .group_by(RECORDING.c.tenant)
    )
    with reading(engine).begin() as connection:
        found = {name: (count, int(size or 0)) for name, count, size in connection.execute(query)}
        tenants = [thing for _, thing in read(connection, Entity.TENANT)]
    known = {one.name: one for one in tenants if isinstance(one, Tenant)}
    names = sorted({*known, *found})
    return [_usage(name, *found.get(name, (0, 0)), known.get(name)) for name in names]


def _usage(name: str, count: int, used: int, tenant: Tenant | None) -> Usage:
    if tenant is None:
        return Usage(name, count, used)
    quota = None if tenant.quota_gb is None else tenant.quota_gb * GB
    return Usage(name, count, used, quota, tenant.on_quota)


def has_quota(engine: Engine) -> bool:
    """Whether any tenant has one; where none has, nothing need be counted."""
    with reading(engine).begin() as connection:
        return any(
            isinstance(one, Tenant) and one.quota_gb is not None
            for _, one in read(connection, Entity.TENANT)
        )


def full_tenants(engine: Engine) -> frozenset[str]:
    """Tenants that stop recording now, as there is no room left."""
    if not has_quota(engine):
        return frozenset()
    return frozenset(
        one.tenant for one in usages(engine) if one.full and one.on_quota is OnQuota.STOP
    )


class QuotaWatch:
    """Looks again and again, tells whoever decides, and warns when there is little room left."""

    def __init__(self, engine: Engine, tell: Callable[[frozenset[str]], None]) -> None:
        """Look at nothing yet.

        Args:
            engine: The catalogue.
            tell: Called with the tenants that stop recording now, from the thread that looks.
        """
        self._engine = engine
        self._tell = tell
        self._levels: dict[str, str] = {}

    def look(self) -> None:
        """Count, warn and tell."""
        found = usages(self._engine) if has_quota(self._engine) else []
        for one in found:
            if one.quota is not None:
                metrics.quota(one.tenant, one.used, one.quota)
                self._warn(one)
        stopped = (one for one in found if one.full and one.on_quota is OnQuota.STOP)
        self._tell(frozenset(one.tenant for one in stopped))

    def _warn(self, usage: Usage) -> None:
        """Warn once for each level; falling below it is told, too."""
        level = level_of(usage)
        before = self._levels.get(usage.tenant, "")
        self._levels[usage.tenant] = level
        if level == before:
            return
        if not level:
            log.info("quota_has_room", tenant=usage.tenant, used=str(usage))
            return
        log.warning(
            "quota_full" if usage.full else "quota_nearly_full",
            tenant=usage.tenant,
            used=str(usage),
            on_quota=usage.on_quota,
            remedy="callrec-pbx retention usage; delete recordings, or raise the quota with "
            "callrec-pbx tenant set --quota-gb",
        )


def level_of(usage: Usage) -> str:
    """`nearly_full`, `full`, or empty."""
    if usage.full:
        return "full"
    return "nearly_full" if usage.share is not None and usage.share >= NEARLY else ""
