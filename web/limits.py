"""How often one client may ask: moving windows, in memory or in Redis and Valkey."""

import ipaddress
import math
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import structlog
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.storage.memory import Entry
from limits.aio.storage.redis.redispy import RedispyBridge
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from limits.storage import StorageTypes, storage_from_string
from starlette.types import Scope

from domain.errors import RateLimited

Kind = Literal["mutation", "query", "upload", "sign_in"]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

STORE_TIMEOUT_SECONDS = 1.0
SWEEP_SECONDS = 60
MAX_HOPS = 20

log = structlog.get_logger(__name__)


class OwnMemory(MemoryStorage):
    """The library's own walks every client on every hit, one thread's work each."""

    def __init__(self) -> None:
        super().__init__(wrap_exceptions=True)
        self._swept_at = time.time()

    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Take `amount` places of the window; False when it has fewer left."""
        now = time.time()
        if now - self._swept_at > SWEEP_SECONDS:
            self._swept_at = now
            self.events = {k: v for k, v in self.events.items() if v and v[0].expiry > now}
        entries = self.events.setdefault(key, [])
        while entries and entries[-1].expiry <= now:
            entries.pop()
        if len(entries) + amount > limit:
            return False
        entries[:0] = [Entry(expiry) for _ in range(amount)]
        return True


class RateLimits:
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
        self._items: dict[Kind, RateLimitItem] = {
            "mutation": RateLimitItemPerMinute(requests_per_minute),
            "query": RateLimitItemPerMinute(queries_per_minute),
            "upload": RateLimitItemPerMinute(uploads_per_10_minutes, 10),
            "sign_in": RateLimitItemPerMinute(sign_ins_per_15_minutes, 15),
        }
        self._own_memory = MovingWindowRateLimiter(OwnMemory())
        self._storage = _storage(storage_uri)
        self._shared = MovingWindowRateLimiter(self._storage)

    async def hit(self, kind: Kind, client: str) -> None:
        """Count one operation. Raises RateLimited with the seconds until the next is free.

        Sign-ins are counted even where limits are lifted.
        """
        if not self.enabled and kind != "sign_in":
            return
        try:
            wait = await _take(self._shared, self._items[kind], kind, client)
            self._note(away=False)
        except (StorageError, TimeoutError):
            self._note(away=True)
            wait = await _take(self._own_memory, self._items[kind], kind, client)
        if wait:
            raise RateLimited(retry_after_seconds=wait)

    async def forget(self, kind: Kind, client: str) -> None:
        """Give back every place of the window."""
        item = self._items[kind]
        await self._own_memory.clear(item, kind, client)
        try:
            await self._shared.clear(item, kind, client)
            self._note(away=False)
        except (StorageError, TimeoutError):
            self._note(away=True)

    async def close(self) -> None:
        """Give the connections to the store back."""
        bridge = self._storage.bridge if isinstance(self._storage, RedisStorage) else None
        if isinstance(bridge, RedispyBridge):
            # The protocol that `limits` declares has no way to close; redis-py's client has.
            connection: Any = bridge.get_connection()
            await connection.aclose()

    def _note(self, *, away: bool) -> None:
        if away and not self.store_is_away:
            log.warning("rate_limit_store_away")
        elif self.store_is_away and not away:
            log.info("rate_limit_store_back")
        self.store_is_away = away


def client_address(scope: Scope, trusted_proxies: Sequence[str]) -> str:
    """The address that counts as one client: an IPv4 address or an IPv6 network of 64 bits."""
    client = address_of(scope, trusted_proxies)
    return _group(client) if client is not None else "local"


def address_of(scope: Scope, trusted_proxies: Sequence[str]) -> Address | None:
    """Where a request comes from; None for a peer without an address.

    Forwarded addresses are believed only as far as trusted proxies wrote them.
    """
    networks = networks_of(tuple(trusted_proxies))
    client = _parse((scope.get("client") or ("",))[0])
    if client is None:
        return None
    for hop in reversed(_forwarded(scope)[-MAX_HOPS:]):
        if not any(client in network for network in networks):
            break
        address = _parse(hop)
        if address is None:
            break
        client = address
    return client


async def _take(
    limiter: MovingWindowRateLimiter, item: RateLimitItem, kind: Kind, client: str
) -> int:
    if await limiter.hit(item, kind, client):
        return 0
    window = await limiter.get_window_stats(item, kind, client)
    return max(1, math.ceil(window.reset_time - time.time()))


def _storage(uri: str) -> StorageTypes:
    # Valkey speaks Redis' protocol, and its own client would be one library more.
    uri = uri.replace("valkey", "redis", 1) if uri.startswith("valkey") else uri
    if uri.startswith("memory:"):
        return OwnMemory()
    options: dict[str, float | str | bool] = {"wrap_exceptions": True}
    options["socket_timeout"] = options["socket_connect_timeout"] = STORE_TIMEOUT_SECONDS
    if uri.startswith("redis"):
        options["implementation"] = "redispy"
    return storage_from_string(f"async+{uri}", **options)


def _forwarded(scope: Scope) -> list[str]:
    values = (v.decode("latin-1") for k, v in scope["headers"] if k == b"x-forwarded-for")
    return [hop.strip() for value in values for hop in value.split(",")]


def _parse(text: str) -> Address | None:
    host = text[1:].partition("]")[0] if text.startswith("[") else text
    if host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _group(address: Address) -> str:
    if address.version == 4:  # noqa: PLR2004 - the version of the protocol
        return str(address)
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))


@lru_cache(maxsize=8)
def networks_of(texts: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)
