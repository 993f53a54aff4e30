"""Moving windows in the memory of this process, and waits that double in any store."""

import math
import time
from collections import deque
from typing import Any

from web.standing import Policy, Standing

SWEEP_SECONDS = 60
WAIT_MAX_SECONDS = 900
BREACHES_KEPT_SECONDS = 3600


class StoreAway(Exception):
    """A store that processes share does not answer."""


class OwnMemory:
    """Moving windows and counters of this process. The library's walk every client on every hit."""

    def __init__(self) -> None:
        # When each place that is taken is free again, the first one first.
        self.windows: dict[tuple[str, str], deque[float]] = {}
        self._swept_at = time.time()
        self.counters: dict[str, tuple[int, float]] = {}

    def take(
        self, key: tuple[str, str], limit: int, seconds: int, now: float
    ) -> tuple[bool, deque[float]]:
        """Whether there was a place left, which is taken then; the window."""
        if now - self._swept_at > SWEEP_SECONDS:
            self._sweep(now)
        window = self.windows.get(key)
        if window is None:
            window = self.windows[key] = deque()
        while window and window[0] <= now:
            window.popleft()
        is_taken = len(window) < limit
        if is_taken:
            window.append(now + seconds)
        return is_taken, window

    async def incr(self, key: str, seconds: float) -> int:
        now = time.time()
        count, ends_at = self.counters.get(key, (0, 0.0))
        if ends_at <= now:
            count, ends_at = 0, now + seconds
        self.counters[key] = count + 1, ends_at
        return count + 1

    def ends_at(self, key: str) -> float:
        """When a counter ends, 0 for one that is not there."""
        return self.counters.get(key, (0, 0.0))[1]

    async def clear(self, key: str) -> None:
        self.counters.pop(key, None)

    def _sweep(self, now: float) -> None:
        self._swept_at = now
        self.windows = {k: v for k, v in self.windows.items() if v and v[-1] > now}
        self.counters = {k: v for k, v in self.counters.items() if v[1] > now}


class Counting:
    """Waits, which double, in one store."""

    def __init__(self, store: Any) -> None:
        self._store = store

    async def forget(self, policy: Policy, client: str) -> None:
        for what in ("waits", "breaches", "refused"):
            await self._store.clear(f"{what}/{policy.kind}/{client}")

    async def _breach(self, key: str, reset: int) -> int:
        """The wait; a breach is counted once, however often it is repeated until the reset."""
        if await self._store.incr(f"refused/{key}", reset) > 1:
            return reset
        breaches = await self._store.incr(f"breaches/{key}", BREACHES_KEPT_SECONDS)
        wait: int = min(reset << min(breaches - 1, 10), max(reset, WAIT_MAX_SECONDS))
        await self._store.incr(f"waits/{key}", wait)
        return wait


class OwnCounting(Counting):
    """In memory."""

    def __init__(self) -> None:
        self._memory = OwnMemory()
        super().__init__(self._memory)

    def take(self, policy: Policy, client: str) -> Standing | None:
        """Where the client stands who has a place now; None for one who may have to wait."""
        if self._memory.counters:
            return None
        now = time.time()
        is_taken, window = self._memory.take(
            (policy.kind, client), policy.quota, policy.seconds, now
        )
        if not is_taken:
            return None
        return Standing(policy, policy.quota - len(window), max(1, math.ceil(window[0] - now)))

    async def hit(self, policy: Policy, client: str) -> tuple[Standing, int]:
        """As shared."""
        key, now = f"{policy.kind}/{client}", time.time()
        wait = math.ceil(self._memory.ends_at(f"waits/{key}") - now)
        if wait > 0:
            return Standing(policy, 0, wait), wait
        is_taken, window = self._memory.take(
            (policy.kind, client), policy.quota, policy.seconds, now
        )
        reset = max(1, math.ceil(window[0] - now)) if window else 1
        if is_taken:
            return Standing(policy, policy.quota - len(window), reset), 0
        wait = await self._breach(key, reset)
        return Standing(policy, 0, wait), wait

    async def forget(self, policy: Policy, client: str) -> None:
        self._memory.windows.pop((policy.kind, client), None)
        await super().forget(policy, client)
