"""Moving windows that several processes share, in Redis or Valkey.

Imported only if needed, since the libraries are slow to import.
"""

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
# For all requests to the store that one count makes.
TOTAL_TIMEOUT_SECONDS = 4.0
STORE_CONNECTIONS = 20

# KEYS are sorted sets of the ids of attempts, scored by their time of expiry. An attempt is added
# to all of them or to none. ARGV: now, seconds, id, and the quota of each set. Returns the wait.
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
# In slices of 1,000, since a Redis call takes a limited number of arguments.
CLEAR_AFTER_SUCCESS = """
local ids = redis.call('ZRANGE', KEYS[1], 0, -1)
for first = 1, #ids, 1000 do
  local last = math.min(first + 999, #ids)
  for _, key in ipairs(KEYS) do
    redis.call('ZREM', key, unpack(ids, first, last))
  end
end
"""
CANCEL = """
for _, key in ipairs(KEYS) do
  redis.call('ZREM', key, ARGV[1])
end
"""


class RedisLimiter(BackoffLimiter):
    """Rate limits that several processes share. Every count raises StoreUnavailable."""

    def __init__(self, uri: str) -> None:
        # Valkey uses the protocol of Redis, so its own client library is not needed.
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
        self._reserve, self._clear_after_success, self._cancel = map(
            client.register_script, (RESERVE, CLEAR_AFTER_SUCCESS, CANCEL)
        )

    async def hit(
        self, policy: RateLimitPolicy, client: str, count: int
    ) -> tuple[RateLimitStatus, int]:
        """Count operations. Return the new status and the seconds to wait, 0 for none."""
        async with _store_errors():
            return await self._hit(policy, client, count)

    async def reserve(self, attempt: Attempt, seconds: int) -> int:
        """Count the attempt for `seconds`. Return 0, or the seconds to wait if it is refused."""
        quotas = [quota for _, quota in attempt.sets]
        async with _store_errors():
            return int(
                await self._reserve(_keys(attempt), [time.time(), seconds, attempt.id, *quotas])
            )

    async def clear_after_success(self, attempt: Attempt) -> None:
        """Remove the attempts of the first set from all sets."""
        async with _store_errors():
            await self._clear_after_success(_keys(attempt))

    async def cancel(self, attempt: Attempt) -> None:
        """Remove this attempt alone."""
        async with _store_errors():
            await self._cancel(_keys(attempt), [attempt.id])

    async def close(self) -> None:
        """Close the connections to the store."""
        await self._pool.aclose()

    async def _hit(
        self, policy: RateLimitPolicy, client: str, count: int
    ) -> tuple[RateLimitStatus, int]:
        key, item = f"{policy.kind}/{client}", _item(policy)
        wait = math.ceil(await self._store.get_expiry(f"waits/{key}") - time.time())
        if wait > 0:
            return RateLimitStatus(policy, 0, wait), wait
        is_allowed = await self._windows.hit(item, policy.kind, client, cost=count)
        window = await self._windows.get_window_stats(item, policy.kind, client)
        reset = max(1, math.ceil(window.reset_time - time.time()))
        if is_allowed:
            return RateLimitStatus(policy, window.remaining, reset), 0
        wait = await self._count_breach(key, reset)
        return RateLimitStatus(policy, 0, wait), wait


@asynccontextmanager
async def _store_errors() -> AsyncGenerator[None]:
    """Raise StoreUnavailable for any error, so that no error of the store fails a request.

    Not only the store and its client raise errors: lost connections and invalid replies also
    cause built-in exceptions, such as RuntimeError, ValueError and TypeError.
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
        # The request was not cancelled: the client library gave the connection up.
        raise StoreUnavailable from error


def _keys(attempt: Attempt) -> list[str]:
    return [f"attempts/{name}" for name, _ in attempt.sets]


def _item(policy: RateLimitPolicy) -> RateLimitItem:
    return RateLimitItemPerMinute(policy.quota, policy.minutes)


def _pool(uri: str) -> Any:
    """Return a pool in which requests wait for a free connection.

    Protocol 2, because with protocol 3 redis-py expects push messages on idle connections, and
    does not notice that the server has closed them.
    """
    return BlockingConnectionPool.from_url(
        uri,
        protocol=2,
        max_connections=STORE_CONNECTIONS,
        timeout=STORE_TIMEOUT_SECONDS,
        socket_timeout=STORE_TIMEOUT_SECONDS,
        socket_connect_timeout=STORE_TIMEOUT_SECONDS,
    )
