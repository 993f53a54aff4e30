"""Alembic's entry point: run all pending migrations in one transaction, one process at a time."""

import asyncio

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from persistence.engine.engine import UNNAMED_STATEMENTS
from persistence.models import metadata

# An arbitrary key of an advisory lock, used for nothing else in the database.
MIGRATION_LOCK = 26_2026


def migrate(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, compare_type=True)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        context.run_migrations()


async def connect_and_migrate() -> None:
    attributes = context.config.attributes
    engine = create_async_engine(
        attributes["url"],
        poolclass=NullPool,
        connect_args=dict(UNNAMED_STATEMENTS) if attributes["pgbouncer"] else {},
    )
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
        await connection.commit()
    await engine.dispose()


asyncio.run(connect_and_migrate())
