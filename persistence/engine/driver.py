"""Connections outside SQLAlchemy's pool: of asyncpg itself, with nothing around them."""

from collections.abc import Mapping
from contextlib import suppress

import asyncpg
from sqlalchemy import make_url

from persistence.engine.stalls import RunningTime
from persistence.engine.tcp import watch_socket

APPLICATION = {"application_name": "icct26-registration"}
GOODBYE_SECONDS = 1.0
# RuntimeError is uvloop's, of a transport that is closed.
CONNECTION_ERRORS = (
    OSError,
    RuntimeError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
_IS_WRITABLE = "SELECT 1 WHERE current_setting('transaction_read_only') = 'off'"


async def connect(
    url: str,
    *,
    timeout_seconds: float,
    server_settings: Mapping[str, str] = APPLICATION,
    statements_kept: int = 0,
) -> asyncpg.Connection:
    """A connection that keeps so many statements prepared: none behind pgbouncer. Raises LOST."""
    place = make_url(url)
    _, arguments = place.get_dialect()().create_connect_args(place)
    connection = await asyncpg.connect(
        **arguments,
        timeout=timeout_seconds,
        statement_cache_size=statements_kept,
        server_settings=dict(server_settings),
    )
    watch_socket(connection)
    return connection


async def leave(connection: asyncpg.Connection) -> None:
    """Close a connection, with a goodbye where the server takes it."""
    with suppress(*CONNECTION_ERRORS):
        await connection.close(timeout=GOODBYE_SECONDS)


async def answers(connection: asyncpg.Connection, *, within_seconds: float) -> bool:
    """Whether the connection answers in time and its server takes writes; closed where not.

    A stall of this process is no silence of the server.
    """
    # Closes the connection instead of cancelling: for that, the server would have to answer.
    ending = RunningTime(within_seconds, connection.terminate)
    try:
        if await connection.fetchval(_IS_WRITABLE):
            return True
    except CONNECTION_ERRORS:
        pass
    finally:
        ending.cancel()
    connection.terminate()
    return False
