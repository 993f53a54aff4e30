"""What was read a moment ago, and is taken for true until that moment is over.

Nobody has to be told when it changes: who changes it waits the moment out before saying so
(`Database.supersede`). That holds for all processes, without a message between them.
"""

from collections.abc import Awaitable, Callable, Hashable
from time import monotonic
from typing import Any

MAX_AGE_SECONDS = 0.25
# So many times as long: timers may be a millisecond early.
WAIT_FACTOR = 1.1
MAX_ENTRIES = 10_000


class Recent:
    """Values by their keys, with the time until which each is true, by the clock `now`."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._values: dict[Hashable, tuple[float, Any]] = {}

    def get(self, key: Hashable) -> Any | None:
        """None for what has to be read."""
        kept = self._values.get(key)
        return None if kept is None or kept[0] <= self._now() else kept[1]

    async def fill(self, key: Hashable, read: Callable[[], Awaitable[Any | None]]) -> Any | None:
        """What `read` finds. That there is nothing is not kept."""
        # It was true at the earliest when it was asked for.
        until = self._now() + MAX_AGE_SECONDS
        value = await read()
        if value is not None:
            if len(self._values) >= MAX_ENTRIES:
                self.clear()
            self._values[key] = (until, value)
        return value

    def clear(self) -> None:
        self._values.clear()
