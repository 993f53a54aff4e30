"""Moving windows that several processes share, in Redis or Valkey. Their libraries take long."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.strategies import MovingWindowRateLimiter
from limits.storage import storage_from_string
from redis.asyncio import BlockingConnectionPool, Redis

from web.rate_limiting.attempts import Attempt
from web.rate_limiting.memory import BackoffLimiter, StoreUnavailable
from web.rate_limiting.status import RateLimitPolicy, RateLimitStatus

STORE_TIMEOUT_SECONDS = 1.0
# Of all that one count asks the store.
TOTAL_TIMEOUT_SECONDS = 4.0
STORE_CONNECTIONS = 20

# Each set has the ids of attempts by the time when they count no more. All are taken or none.
RESERVE = """
local now, wait = tonumber(ARGV[1]), 0
for i, key in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
end
if redis.call('ZSCORE', KEYS[1], ARGV[3]) then
  return 0
end
for i, key in ipairs(KEYS) do
  local place = redis.call('ZCARD', key) - tonumber(ARGV[i + 3])
  if place >= 0 then
    local member = redis.call('ZRANGE', key, place, place, 'WITHSCORES')
    wait = math.max(wait, tonumber(member[2]) - now)
  end
end
if wait > 0 then
  return math.max(1, math.ceil(wait))
end
for _, key in ipairs(KEYS) do
  redis.call('ZADD', key, now + tonumber(ARGV[2]), ARGV[3])
  redis.call('EXPIRE', key, ARGV[2])
end
return 0
"""
# In slices, since a call takes some thousands of arguments at most.
FORGIVE = """
local ids = redis.call('ZRANGE', KEYS[1], 0, -1)
for first = 1, #ids, 1000 do
  local last = math.min(first + 999, #ids)
  for _, key in ipairs(KEYS) do
    redis.call('ZREM', key, unpack(ids, first, last))
  end
end
"""
TAKE_BACK = """
for _, key in ipairs(KEYS) do
  redis.call('ZREM', key, ARGV[1])
end
"""


class RedisLimiter(BackoffLimiter):
    """Several processes count together. Counting raises StoreUnavailable."""

    def __init__(self, uri: str) -> None:
        # Valkey speaks Redis' protocol, and its own client would be one library more.
        uri = uri.replace("valkey", "redis", 1) if uri.startswith("valkey") else uri
        self._pool = _pool(uri)
        storage = storage_from_string(
            f"async+{uri}",
            wrap_exceptions=True,
            implementation="redispy",
            connection_pool=self._pool,
        )
        super().__init__(storage)
        self._windows = MovingWindowRateLimiter(storage)
        client = Redis(connection_pool=self._pool)
        self._reserve, self._forgive, self._take_back = map(
            client.register_script, (RESERVE, FORGIVE, TAKE_BACK)
        )

    async def hit(
        self, policy: RateLimitPolicy, client: str, count: int
    ) -> tuple[RateLimitStatus, int]:
        """Where the client stands, and the seconds to wait, 0 for none."""
        async with _store_errors():
            return await self._hit(policy, client, count)

    async def reserve(self, attempt: Attempt, seconds: int) -> int:
        """As in memory."""
        quotas = [quota for _, quota in attempt.names]
        async with _store_errors():
            return int(
                await self._reserve(_keys(attempt), [time.time(), seconds, attempt.id, *quotas])
            )

    async def forgive(self, attempt: Attempt) -> None:
        """As in memory."""
        async with _store_errors():
            await self._forgive(_keys(attempt))

    async def take_back(self, attempt: Attempt) -> None:
        """Remove this attempt alone."""
        async with _store_errors():
            await self._take_back(_keys(attempt), [attempt.id])

    async def close(self) -> None:
        """Give the connections to the store back."""
        await self._pool.aclose()

    async def _hit(
        self, policy: RateLimitPolicy, client: str, count: int
    ) -> tuple[RateLimitStatus, int]:
        key, item = f"{policy.kind}/{client}", _item(policy)
        wait = math.ceil(await self._store.get_expiry(f"waits/{key}") - time.time())
        if wait > 0:
            return RateLimitStatus(policy, 0, wait), wait
        is_taken = await self._windows.hit(item, policy.kind, client, cost=count)
        window = await self._windows.get_window_stats(item, policy.kind, client)
        reset = max(1, math.ceil(window.reset_time - time.time()))
        if is_taken:
            return RateLimitStatus(policy, window.remaining, reset), 0
        wait = await self._count_breach(key, reset)
        return RateLimitStatus(policy, 0, wait), wait


@asynccontextmanager
async def _store_errors() -> AsyncGenerator[None]:
    """Raises StoreUnavailable for any failure: counting is never a reason to refuse or to break.

    Beside the errors of the store and its client, a lost connection or a strange answer raises
    errors of Python's own: of a closed transport, of a parser, of a value of the wrong type.
    """
    try:
        async with asyncio.timeout(TOTAL_TIMEOUT_SECONDS):
            yield
    except Exception as error:
        raise StoreUnavailable from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # Nobody has cancelled the request: the connection was given up below.
        raise StoreUnavailable from error


def _keys(attempt: Attempt) -> list[str]:
    return [f"attempts/{name}" for name, _ in attempt.names]


def _item(policy: RateLimitPolicy) -> RateLimitItem:
    return RateLimitItemPerMinute(policy.quota, policy.minutes)


def _pool(uri: str) -> Any:
    """Further requests wait for their turn.

    With protocol 3, redis-py expects notices on idle connections, and takes those that the server
    has closed for good ones.
    """
    return BlockingConnectionPool.from_url(
        uri,
        protocol=2,
        max_connections=STORE_CONNECTIONS,
        timeout=STORE_TIMEOUT_SECONDS,
        socket_timeout=STORE_TIMEOUT_SECONDS,
        socket_connect_timeout=STORE_TIMEOUT_SECONDS,
    )
