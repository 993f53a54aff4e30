"""Databases for tests, on the test run's own cluster."""

import asyncio
from collections.abc import Callable

import asyncpg

from persistence.embedded.server import EmbeddedPostgres
from persistence.models import metadata

CREATE_LOCK = 1


def dsn(url: str) -> str:
    """Convert SQLAlchemy's URL to asyncpg's."""
    return url.replace("postgresql+asyncpg://", "postgresql://")


def create_database(
    cluster: EmbeddedPostgres,
    name: str,
    fill: Callable[[str], None] | None = None,
    *,
    template: str = "template1",
) -> str:
    """Create a database unless another worker has done so. Only the creator calls `fill`."""
    return asyncio.run(_create_database(cluster, name, fill, template))


async def _create_database(cluster, name, fill, template) -> str:
    admin = await asyncpg.connect(dsn(cluster.connected_url("icct26")))
    try:
        await admin.execute("SELECT pg_advisory_lock($1)", CREATE_LOCK)
        if await admin.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            return name
        await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        if fill is not None:
            await asyncio.to_thread(fill, cluster.connected_url(name))
    finally:
        await admin.close()
    return name


async def empty(url: str) -> None:
    """Delete every row, the append-only ones too."""
    connection = await asyncpg.connect(dsn(url))
    try:
        await connection.execute("ALTER TABLE audit_event DISABLE TRIGGER ALL")
        await connection.execute(f"TRUNCATE {', '.join(metadata.tables)}")
        await connection.execute("ALTER TABLE audit_event ENABLE TRIGGER ALL")
    finally:
        await connection.close()
