"""Identifiers: UUIDv7, made here because PostgreSQL 15 has no function for them."""

import os
import time
from uuid import UUID

# Random numbers that are read together, in one call of the system.
RANDOM_BATCH_SIZE = 256

_NS_PER_MS = 1_000_000
_unused: list[int] = []


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
    return [UUID(int=moment | chance >> 2) for chance in _chances(count)]


def _chances(count: int) -> list[int]:
    """So many random numbers of 64 bits, which nobody was given before."""
    # More than are taken: threads may take some meanwhile.
    if len(_unused) < count + RANDOM_BATCH_SIZE:
        _unused.extend(memoryview(os.urandom(8 * (count + 2 * RANDOM_BATCH_SIZE))).cast("Q"))
    return [_unused.pop() for _ in range(count)]


# A process that was forked has none of its parent's.
os.register_at_fork(after_in_child=_unused.clear)
