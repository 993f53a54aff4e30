"""Identifiers: UUIDv7, made here because PostgreSQL 15 has no function for them."""

import os
import time
from uuid import UUID

_NS_PER_MS = 1_000_000


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562, method 3): milliseconds, 12 bits of their fraction, 62 random bits.

    What one process makes is in the order of time, to a quarter of a microsecond.
    """
    return new_ids(1)[0]


def new_ids(count: int) -> list[UUID]:
    """So many of one moment, in any order."""
    milliseconds, rest = divmod(time.time_ns(), _NS_PER_MS)
    fraction = (rest << 12) // _NS_PER_MS
    moment = milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0x2 << 62
    chances = memoryview(os.urandom(8 * count)).cast("Q")
    return [UUID(int=moment | chance >> 2) for chance in chances]
