"""Connections outside the pool: of asyncpg itself, with nothing around them."""

from collections.abc import Mapping

import asyncpg
from sqlalchemy import make_url

APPLICATION = {"application_name": "icct26-registration"}
# RuntimeError is uvloop's, of a transport that is closed.
LOST = (
    OSError,
    RuntimeError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
_ENDED = ("08", "57P")


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
    return await asyncpg.connect(
        **arguments,
        timeout=timeout_seconds,
        statement_cache_size=statements_kept,
        server_settings=dict(server_settings),
    )


def is_ended_by(sqlstate: str | None) -> bool:
    """Whether the server says with it that the connection is over."""
    return (sqlstate or "").startswith(_ENDED)
