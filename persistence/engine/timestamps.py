"""Read and write `timestamptz` with PostgreSQL's infinity and years beyond Python's range.

asyncpg's own codec reads both infinities as naive datetimes, and raises for moments before the year
1 or after 9999. This one maps them to EARLIEST and LATEST.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from persistence.engine import driver

EARLIEST = datetime.min.replace(tzinfo=UTC)
LATEST = datetime.max.replace(tzinfo=UTC)

# PostgreSQL's binary format counts microseconds since then.
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


async def connect(url: str, *, timeout_seconds: float, **options: Any) -> asyncpg.Connection:
    """Connect as `driver.connect`, with this codec. Raises CONNECTION_ERRORS."""
    connection = await driver.connect(url, timeout_seconds=timeout_seconds, **options)
    try:
        async with asyncio.timeout(timeout_seconds):
            await register_timestamp_codec(connection)
    except BaseException:
        connection.terminate()
        raise
    return connection


async def register_timestamp_codec(connection: asyncpg.Connection) -> None:
    """Read every `timestamptz` of this connection as an aware datetime, EARLIEST to LATEST."""
    await connection.set_type_codec(
        "timestamptz", schema="pg_catalog", encoder=_encode, decoder=_decode, format="tuple"
    )


def finite_or_none(moment: datetime | None) -> datetime | None:
    """A bound of a period: None, unbounded, for infinity of either sign."""
    return None if moment in {EARLIEST, LATEST} else moment


def _encode(moment: datetime) -> tuple[int]:
    """Raises TypeError for a naive datetime, which asyncpg would take for the host's local time."""
    return ((moment - _EPOCH) // _MICROSECOND,)


_LOWEST, _HIGHEST = _encode(EARLIEST)[0], _encode(LATEST)[0]


def _decode(value: tuple[int]) -> datetime:
    (microseconds,) = value
    if microseconds <= _LOWEST:
        return EARLIEST
    if microseconds >= _HIGHEST:
        return LATEST
    return _EPOCH + timedelta(microseconds=microseconds)
