"""All tables of the catalogue."""

from sqlalchemy import Table

import callrec_pbx.catalogue.audit_models
import callrec_pbx.catalogue.hold_models
import callrec_pbx.catalogue.people_models
import callrec_pbx.catalogue.search_models  # noqa: F401 - their tables are among Base's
from callrec_pbx.catalogue.models import Base


def all_tables() -> list[Table]:
    """Those that others refer to come first."""
    return list(Base.metadata.sorted_tables)
