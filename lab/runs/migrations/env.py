"""What Alembic runs: the revisions, on the connection and in the transaction of its caller."""

from alembic import context

from lab.runs import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    version_table=schema.version.name,
)
context.run_migrations()
