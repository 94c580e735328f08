"""Check of the room that tenants' recordings take."""

from collections.abc import Iterator

from callrec_pbx.catalogue.engine import CatalogueError
from callrec_pbx.catalogue.migrate import open_current
from callrec_pbx.config import Config
from callrec_pbx.doctor.finding import Finding, fail, ok, warn
from callrec_pbx.domain.words import OnQuota
from callrec_pbx.retention.quota import has_quota, level_of, usages

REMEDY = "delete recordings, shorten retention, or `callrec-pbx tenant set NAME --quota-gb` more"


def check_quota(config: Config) -> Iterator[Finding]:
    """There is room left for those who have a quota."""
    try:
        engine = open_current(config.catalogue.url)
    except CatalogueError:
        return  # the catalogue's check says so
    try:
        found = usages(engine) if has_quota(engine) else []
    finally:
        engine.dispose()
    limited = [one for one in found if one.quota is not None]
    for one in limited:
        said = f"tenant {one.tenant}: recordings take {one}"
        if one.full and one.on_quota is OnQuota.STOP:
            yield fail("quota", f"{said}; nothing more is recorded", REMEDY)
        elif level_of(one):
            yield warn("quota", said, REMEDY)
    if limited and not any(level_of(one) for one in limited):
        yield ok("quota", f"{len(limited)} tenants have one, and room left")
