"""How often one client may ask: moving windows, in memory or in Redis and Valkey.

Who goes on asking for more than that waits longer: each breach within an hour doubles the wait.
"""

import math
import time
from collections import deque
from typing import Any, Literal

import structlog
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.storage.redis.redispy import RedispyBridge
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from limits.storage import StorageTypes, storage_from_string

from resilience.metrics import RATE_LIMIT_REJECTIONS, RATE_LIMIT_STORE_AWAY
from web.standing import Exceeded, Policy, Standing

Kind = Literal["mutation", "query", "upload", "sign_in"]

STORE_TIMEOUT_SECONDS = 1.0
STORE_CONNECTIONS = 20
# A store that was away is not asked for so long.
STORE_PAUSE_SECONDS = 5.0
SWEEP_SECONDS = 60
WAIT_MAX_SECONDS = 900
BREACHES_KEPT_SECONDS = 3600

log = structlog.get_logger(__name__)


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


class RateLimits:
    name = "rateLimitStore"

    def __init__(  # noqa: PLR0913 - one argument for each setting
        self,
        *,
        enabled: bool,
        requests_per_minute: int,
        queries_per_minute: int,
        uploads_per_10_minutes: int,
        sign_ins_per_15_minutes: int,
        storage_uri: str = "memory://",
    ) -> None:
        self.enabled = enabled
        self.store_is_away = False
        self._policies: dict[Kind, Policy] = {
            "mutation": Policy("mutation", "mutations", requests_per_minute, minutes=1),
            "query": Policy("query", "queries", queries_per_minute, minutes=1),
            "upload": Policy("upload", "uploads", uploads_per_10_minutes, minutes=10),
            "sign_in": Policy("sign_in", "signIns", sign_ins_per_15_minutes, minutes=15),
        }
        self._storage = _storage(storage_uri)
        self._own = _OwnCounting()
        self._shared = _SharedCounting(self._storage) if self._storage else None
        self._asked_again_at = -math.inf

    @property
    def is_shared(self) -> bool:
        """Whether several processes count together."""
        return self._storage is not None

    @property
    def is_well(self) -> bool:
        return not self.store_is_away

    async def hit(self, kind: Kind, client: str) -> Standing | None:
        """Count one operation; None where limits are lifted. Raises Exceeded.

        Sign-ins are counted even there.
        """
        if not self.enabled and kind != "sign_in":
            return None
        policy = self._policies[kind]
        if self._shared is None:
            taken = self._own.take(policy, client)
            if taken is not None:
                return taken
            standing, wait = await self._own.hit(policy, client)
        else:
            standing, wait = await self._count(self._shared, policy, client)
        if wait:
            RATE_LIMIT_REJECTIONS.labels(kind).inc()
            raise Exceeded(standing)
        return standing

    async def forget(self, kind: Kind, client: str) -> None:
        """Give back every place of the window."""
        policy = self._policies[kind]
        await self._own.forget(policy, client)
        if self._shared is None:
            return
        try:
            await self._shared.forget(policy, client)
            self._note(away=False)
        except (StorageError, TimeoutError):
            self._note(away=True)

    async def close(self) -> None:
        """Give the connections to the store back."""
        bridge = self._storage.bridge if isinstance(self._storage, RedisStorage) else None
        if isinstance(bridge, RedispyBridge):
            # The protocol that `limits` declares has no way to close; redis-py's client has.
            connection: Any = bridge.get_connection()
            await connection.connection_pool.aclose()

    async def _count(
        self, shared: "_SharedCounting", policy: Policy, client: str
    ) -> tuple[Standing, int]:
        """By the shared store, or by this process while that is away."""
        now = time.time()
        if self.store_is_away and now < self._asked_again_at:
            return await self._own.hit(policy, client)
        # Whoever comes while this one waits for the store does not wait for it too.
        self._asked_again_at = now + STORE_PAUSE_SECONDS
        try:
            counted = await shared.hit(policy, client)
        except (StorageError, TimeoutError):
            self._note(away=True)
            return await self._own.hit(policy, client)
        self._note(away=False)
        return counted

    def _note(self, *, away: bool) -> None:
        if away == self.store_is_away:
            return
        say = log.warning if away else log.info
        say("rate_limit_store_away" if away else "rate_limit_store_back")
        self.store_is_away = away
        RATE_LIMIT_STORE_AWAY.set(away)


class _Counting:
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


class _SharedCounting(_Counting):
    """Several processes count together."""

    def __init__(self, storage: StorageTypes) -> None:
        super().__init__(storage)
        self._windows = MovingWindowRateLimiter(storage)

    async def hit(self, policy: Policy, client: str) -> tuple[Standing, int]:
        """Where the client stands, and the seconds to wait, 0 for none."""
        key, item = f"{policy.kind}/{client}", _item(policy)
        wait = math.ceil(await self._store.get_expiry(f"waits/{key}") - time.time())
        if wait > 0:
            return Standing(policy, 0, wait), wait
        is_taken = await self._windows.hit(item, policy.kind, client)
        window = await self._windows.get_window_stats(item, policy.kind, client)
        reset = max(1, math.ceil(window.reset_time - time.time()))
        if is_taken:
            return Standing(policy, window.remaining, reset), 0
        wait = await self._breach(key, reset)
        return Standing(policy, 0, wait), wait

    async def forget(self, policy: Policy, client: str) -> None:
        await self._windows.clear(_item(policy), policy.kind, client)
        await super().forget(policy, client)


class _OwnCounting(_Counting):
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


def _item(policy: Policy) -> RateLimitItem:
    return RateLimitItemPerMinute(policy.quota, policy.minutes)


def _storage(uri: str) -> "StorageTypes | None":
    """None for this process's memory."""
    # Valkey speaks Redis' protocol, and its own client would be one library more.
    uri = uri.replace("valkey", "redis", 1) if uri.startswith("valkey") else uri
    if uri.startswith("memory:"):
        return None
    options: dict[str, Any] = {"wrap_exceptions": True}
    if uri.startswith("redis"):
        options |= {"implementation": "redispy", "connection_pool": _pool(uri)}
    return storage_from_string(f"async+{uri}", **options)


def _pool(uri: str) -> Any:
    """Further requests wait for their turn.

    With protocol 3, redis-py expects notices on idle connections, and takes those that the server
    has closed for good ones.
    """
    from redis.asyncio import BlockingConnectionPool  # noqa: PLC0415 - takes long, few need it

    return BlockingConnectionPool.from_url(
        uri,
        protocol=2,
        max_connections=STORE_CONNECTIONS,
        timeout=STORE_TIMEOUT_SECONDS,
        socket_timeout=STORE_TIMEOUT_SECONDS,
        socket_connect_timeout=STORE_TIMEOUT_SECONDS,
    )
