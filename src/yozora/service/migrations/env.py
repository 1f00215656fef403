"""What alembic runs: the steps, in the transaction of the connection that it was given."""

from __future__ import annotations

from alembic import context

from yozora.service.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes a table by making it anew
)
with context.begin_transaction():
    context.run_migrations()
