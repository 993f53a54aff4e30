"""Moving windows that several processes share, in Redis or Valkey. Their libraries take long."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from limits.storage import storage_from_string
from redis.asyncio import BlockingConnectionPool

from web.standing import Policy, Standing
from web.windows import Counting, StoreAway

STORE_TIMEOUT_SECONDS = 1.0
STORE_CONNECTIONS = 20


class SharedCounting(Counting):
    """Several processes count together. Counting raises StoreAway."""

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

    async def hit(self, policy: Policy, client: str) -> tuple[Standing, int]:
        """Where the client stands, and the seconds to wait, 0 for none."""
        with _named_failures():
            return await self._hit(policy, client)

    async def forget(self, policy: Policy, client: str) -> None:
        with _named_failures():
            await self._windows.clear(_item(policy), policy.kind, client)
            await super().forget(policy, client)

    async def close(self) -> None:
        """Give the connections to the store back."""
        await self._pool.aclose()

    async def _hit(self, policy: Policy, client: str) -> tuple[Standing, int]:
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


@contextmanager
def _named_failures() -> Iterator[None]:
    try:
        yield
    except (StorageError, TimeoutError) as error:
        raise StoreAway from error


def _item(policy: Policy) -> RateLimitItem:
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
