"""A cache of rows read within the last 250 ms, coherent over all processes without messages.

An entry is never older than MAX_AGE_SECONDS. A unit of work that changes cached rows waits that
long after its commit before it returns (`Database.supersede`), so that no request after its answer
sees the old values.
"""

from collections.abc import Awaitable, Callable, Hashable
from time import monotonic
from typing import Any

MAX_AGE_SECONDS = 0.25
# The wait is longer than the age by this factor: timers may fire a millisecond early.
WAIT_FACTOR = 1.1
MAX_ENTRIES = 10_000


class Recent:
    """Values by key, each with the time at which it expires by the clock `now`."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._values: dict[Hashable, tuple[float, Any]] = {}

    def get(self, key: Hashable) -> Any | None:
        """The cached value; None if it has to be read."""
        entry = self._values.get(key)
        return None if entry is None or entry[0] <= self._now() else entry[1]

    async def fill(self, key: Hashable, read: Callable[[], Awaitable[Any | None]]) -> Any | None:
        """Read a value and cache it. None is not cached."""
        # The age counts from the moment before the read: the row may change while it is read.
        expires_at = self._now() + MAX_AGE_SECONDS
        value = await read()
        if value is not None:
            if len(self._values) >= MAX_ENTRIES:
                self.clear()
            self._values[key] = (expires_at, value)
        return value

    def clear(self) -> None:
        self._values.clear()
