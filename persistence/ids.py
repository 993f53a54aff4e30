"""UUIDv7 identifiers. PostgreSQL has a function for them only since version 18."""

import os
import time
from uuid import UUID

# Random numbers that are read with one system call.
RANDOM_BATCH_SIZE = 256

_NS_PER_MS = 1_000_000
_random_numbers: list[int] = []


def new_id() -> UUID:
    """A UUIDv7 (RFC 9562, method 3): milliseconds, 12 bits of their fraction, 62 random bits.

    Ids of one process are in order of time, with a resolution of a quarter of a microsecond.
    """
    return new_ids(1)[0]


def new_ids(count: int) -> list[UUID]:
    """Ids with the same time, in no particular order."""
    milliseconds, rest = divmod(time.time_ns(), _NS_PER_MS)
    fraction = (rest << 12) // _NS_PER_MS
    prefix = milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0x2 << 62
    return [UUID(int=prefix | number >> 2) for number in _take_random(count)]


def _take_random(count: int) -> list[int]:
    """Random 64-bit numbers, each used once."""
    # A surplus is kept, since other threads may take some between this check and the pops.
    if len(_random_numbers) < count + RANDOM_BATCH_SIZE:
        random_bytes = os.urandom(8 * (count + 2 * RANDOM_BATCH_SIZE))
        _random_numbers.extend(memoryview(random_bytes).cast("Q"))
    return [_random_numbers.pop() for _ in range(count)]


# A forked process must not use its parent's numbers.
os.register_at_fork(after_in_child=_random_numbers.clear)
