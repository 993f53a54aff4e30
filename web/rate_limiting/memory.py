"""Moving windows in the memory of this process, and doubling waits for any store."""

import math
import time
from collections import OrderedDict, deque
from typing import Any

from web.rate_limiting.status import RateLimitPolicy, RateLimitStatus

SWEEP_SECONDS = 60
MAX_WAIT_SECONDS = 900
BREACH_WINDOW_SECONDS = 3600
# The maximum number of windows, and of counters, of which a waiting client has three. The least
# recently used are evicted. A window takes about 1 KB and 32 bytes for each counted operation:
# 20 MB, plus the operations within the time of a window.
MAX_WINDOWS = 20_000


class StoreUnavailable(Exception):
    """The shared store does not answer."""


class WindowStore:
    """Moving windows and counters of this process.

    The in-memory storage of `limits` is not used: it goes through all clients on every hit.
    """

    def __init__(self) -> None:
        # The times at which counted operations expire, earliest first, by kind and client.
        self.windows: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()
        self._swept_at = time.time()
        self.counters: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def take(
        self, key: tuple[str, str], limit: int, seconds: int, now: float, count: int = 1
    ) -> tuple[bool, deque[float]]:
        """Count operations, all or none. Return whether they fitted, and the window."""
        self._sweep(now)
        window = self.windows.get(key)
        if window is None:
            window = self.windows[key] = deque()
            if len(self.windows) > MAX_WINDOWS:
                self.windows.popitem(last=False)
        else:
            self.windows.move_to_end(key)
        while window and window[0] <= now:
            window.popleft()
        is_allowed = len(window) + count <= limit
        if is_allowed:
            window.extend([now + seconds] * count)
        return is_allowed, window

    async def incr(self, key: str, seconds: float) -> int:
        now = time.time()
        self._sweep(now)
        count, ends_at = self.counters.get(key, (0, 0.0))
        if ends_at <= now:
            count, ends_at = 0, now + seconds
        self.counters[key] = count + 1, ends_at
        self.counters.move_to_end(key)
        if len(self.counters) > MAX_WINDOWS:
            self.counters.popitem(last=False)
        return count + 1

    def counter(self, key: str) -> tuple[int, float]:
        """Return the count and its time of expiry; 0 and 0 for an unknown counter."""
        return self.counters.get(key, (0, 0.0))

    def _sweep(self, now: float) -> None:
        """Remove what has expired, at most once in SWEEP_SECONDS."""
        if now - self._swept_at <= SWEEP_SECONDS:
            return
        self._swept_at = now
        self.windows = OrderedDict((k, v) for k, v in self.windows.items() if v and v[-1] > now)
        self.counters = OrderedDict((k, v) for k, v in self.counters.items() if v[1] > now)


class BackoffLimiter:
    """Doubling waits in a store, which has to have `incr(key, seconds)`."""

    def __init__(self, store: Any) -> None:
        self._store = store

    async def _count_breach(self, key: str, reset: int) -> int:
        """Return the seconds to wait. Further breaches before the reset are not counted."""
        if await self._store.incr(f"refused/{key}", reset) > 1:
            return reset
        breaches = await self._store.incr(f"breaches/{key}", BREACH_WINDOW_SECONDS)
        wait: int = min(reset << min(breaches - 1, 10), max(reset, MAX_WAIT_SECONDS))
        await self._store.incr(f"waits/{key}", wait)
        return wait


class MemoryLimiter(BackoffLimiter):
    """Rate limits in the memory of this process."""

    def __init__(self) -> None:
        self._memory = WindowStore()
        super().__init__(self._memory)

    def take(self, policy: RateLimitPolicy, client: str, count: int) -> RateLimitStatus | None:
        """Count operations and return the new status; None if the client may have to wait."""
        if self._memory.counters:
            return None
        now = time.time()
        is_allowed, window = self._memory.take(
            (policy.kind, client), policy.quota, policy.seconds, now, count
        )
        return _status(policy, window, now) if is_allowed else None

    async def hit(
        self, policy: RateLimitPolicy, client: str, count: int
    ) -> tuple[RateLimitStatus, int]:
        """Count operations. Return the new status and the seconds to wait, 0 for none."""
        key, now = f"{policy.kind}/{client}", time.time()
        _, ends_at = self._memory.counter(f"waits/{key}")
        wait = math.ceil(ends_at - now)
        if wait > 0:
            return RateLimitStatus(policy, 0, wait), wait
        is_allowed, window = self._memory.take(
            (policy.kind, client), policy.quota, policy.seconds, now, count
        )
        if is_allowed:
            return _status(policy, window, now), 0
        wait = await self._count_breach(key, _seconds_until_free(policy, window, now, count))
        return RateLimitStatus(policy, 0, wait), wait


def _status(policy: RateLimitPolicy, window: deque[float], now: float) -> RateLimitStatus:
    return RateLimitStatus(policy, policy.quota - len(window), max(1, math.ceil(window[0] - now)))


def _seconds_until_free(
    policy: RateLimitPolicy, window: deque[float], now: float, count: int
) -> int:
    """Return the seconds until `count` operations fit; the whole window if they never do."""
    missing = len(window) + count - policy.quota
    if not 0 < missing <= len(window):
        return policy.seconds
    return max(1, math.ceil(window[missing - 1] - now))
