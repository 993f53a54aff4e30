"""Moments of PostgreSQL, which knows infinity, as those of Python, which does not.

The driver by itself reads both infinities as moments without an offset, and ends with an error for
what is before the year 1 or after 9999.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from persistence.engine import driver

EARLIEST = datetime.min.replace(tzinfo=UTC)
LATEST = datetime.max.replace(tzinfo=UTC)

# PostgreSQL counts microseconds from here.
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


async def connect(url: str, *, timeout_seconds: float, **options: Any) -> asyncpg.Connection:
    """A connection as `connecting.connect` makes it, which reads infinity. Raises LOST."""
    connection = await driver.connect(url, timeout_seconds=timeout_seconds, **options)
    try:
        async with asyncio.timeout(timeout_seconds):
            await register_timestamp_codec(connection)
    except BaseException:
        connection.terminate()
        raise
    return connection


async def register_timestamp_codec(connection: asyncpg.Connection) -> None:
    """Read every `timestamptz` of this connection as an aware moment from EARLIEST to LATEST."""
    await connection.set_type_codec(
        "timestamptz", schema="pg_catalog", encoder=_written, decoder=_read, format="tuple"
    )


def finite_or_none(moment: datetime | None) -> datetime | None:
    """An end of a window; None, no bound, for infinity at either end."""
    return None if moment in {EARLIEST, LATEST} else moment


def _written(moment: datetime) -> tuple[int]:
    """Raises TypeError for a moment without an offset, which would be the host's."""
    return ((moment - _EPOCH) // _MICROSECOND,)


_LOWEST, _HIGHEST = _written(EARLIEST)[0], _written(LATEST)[0]


def _read(stored: tuple[int]) -> datetime:
    (microseconds,) = stored
    if microseconds <= _LOWEST:
        return EARLIEST
    if microseconds >= _HIGHEST:
        return LATEST
    return _EPOCH + timedelta(microseconds=microseconds)
