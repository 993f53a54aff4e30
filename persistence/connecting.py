"""Connections outside the pool, for what must not wait behind units of work."""

import asyncpg
from sqlalchemy import make_url

# RuntimeError is uvloop's, of a transport that is closed.
LOST = (
    OSError,
    RuntimeError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


async def connect(url: str, *, timeout_seconds: float) -> asyncpg.Connection:
    """A connection for simple statements, behind pgbouncer too. Raises LOST."""
    place = make_url(url)
    _, arguments = place.get_dialect()().create_connect_args(place)
    return await asyncpg.connect(
        **arguments,
        timeout=timeout_seconds,
        statement_cache_size=0,
        server_settings={"application_name": "icct26-registration"},
    )
