"""Runs the migrations on the connection that `callrec_pbx.catalogue.migrate` has opened."""

from alembic import context

import callrec_pbx.catalogue.tables  # noqa: F401 - all of them are among Base's
from callrec_pbx.catalogue.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # SQLite cannot alter a table: it is copied, and the copy takes its place.
    render_as_batch=True,
    # Transactions are begun by us, so SQLite's include the schema.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
