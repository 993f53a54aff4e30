"""Rate limits for each client: moving windows in memory, or in Redis or Valkey.

Each breach within an hour doubles the wait. Attempts to guess passwords, codes and tokens have
windows of their own: see `attempts.py`.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import structlog

from observability.metrics import RATE_LIMIT_REJECTIONS, RATE_LIMIT_STORE_UNAVAILABLE
from schema.context import RateLimitKind
from web.rate_limiting.attempts import Attempt, AttemptStore, token_attempt
from web.rate_limiting.memory import MemoryLimiter, StoreUnavailable, WindowStore
from web.rate_limiting.status import RateLimitExceeded, RateLimitPolicy, RateLimitStatus

if TYPE_CHECKING:
    from web.rate_limiting.redis_store import RedisLimiter

T = TypeVar("T")

# Wrong tokens, tickets and links of one client within 15 minutes.
GUESSES_PER_WINDOW = 30

# Refusals of a client within one wait for which its documents may be parsed. After these, a new
# document of a client that has to wait is refused before it is parsed.
MAX_PARSED_REFUSALS = 5

# An unavailable store is asked only by the probe, at this interval.
STORE_PROBE_SECONDS = 5.0
# The policy of the probe, whose quota is never reached.
PROBE = RateLimitPolicy("probe", "probes", 1_000_000, minutes=1)

log = structlog.get_logger(__name__)


class RateLimiter:
    """Rate limits of one process, with a shared store or without."""

    # As a source of health.
    name = "rateLimitStore"

    def __init__(  # noqa: PLR0913 - one argument for each setting
        self,
        *,
        enabled: bool,
        mutations_per_minute: int,
        queries_per_minute: int,
        uploads_per_10_minutes: int,
        sign_ins_per_15_minutes: int,
        storage_uri: str = "memory://",
    ) -> None:
        self.enabled = enabled
        self.is_store_unavailable = False
        self._policies: dict[RateLimitKind, RateLimitPolicy] = {
            "mutation": RateLimitPolicy("mutation", "mutations", mutations_per_minute, minutes=1),
            "query": RateLimitPolicy("query", "queries", queries_per_minute, minutes=1),
            "upload": RateLimitPolicy("upload", "uploads", uploads_per_10_minutes, minutes=10),
        }
        self._guesses = RateLimitPolicy("guess", "guesses", GUESSES_PER_WINDOW, minutes=15)
        self.sign_ins = RateLimitPolicy("sign_in", "signIns", sign_ins_per_15_minutes, minutes=15)
        self._local = MemoryLimiter()
        # The waits that clients were told, and their refusals since then, of either store.
        self._refusals = WindowStore()
        self._attempts = AttemptStore()
        # Separate, so that a flood of wrong tokens does not evict attempts at passwords.
        self._token_attempts = AttemptStore()
        self._shared = None if storage_uri.startswith("memory:") else _redis_limiter(storage_uri)

    @property
    def is_shared(self) -> bool:
        """Whether several processes share the counts."""
        return self._shared is not None

    @property
    def is_healthy(self) -> bool:
        return not self.is_store_unavailable

    async def hit(self, kind: RateLimitKind, client: str, count: int = 1) -> RateLimitStatus | None:
        """Count operations, all or none. Return None if limits are off.

        Raises RateLimitExceeded.
        """
        if not self.enabled:
            return None
        policy = self._policies[kind]
        local, shared = self._local, self._shared
        if shared is None:
            immediate = local.take(policy, client, count)
            if immediate is not None:
                return immediate
            status, wait = await local.hit(policy, client, count)
        else:
            status, wait = await self._count(
                lambda: shared.hit(policy, client, count), lambda: local.hit(policy, client, count)
            )
        if wait:
            RATE_LIMIT_REJECTIONS.labels(kind).inc()
            raise RateLimitExceeded(status)
        return status

    async def remember(self, refusal: RateLimitExceeded, client: str) -> None:
        """Remember a refusal, so that the requests that follow are refused without work."""
        kind, wait = refusal.rate_limit.policy.kind, refusal.rate_limit.reset_seconds
        await self._refusals.incr(f"{kind}/{client}", wait)

    def is_waiting(self, client: str) -> bool:
        """Return whether a remembered refusal still applies to operations of any kind."""
        return bool(self._refusals.counters) and any(
            self._seconds_to_wait(kind, client) for kind in self._policies
        )

    def require_no_wait(self, kind: RateLimitKind | None, client: str) -> None:
        """Refuse a client that `hit` would refuse, without counting or asking a store.

        `kind` None means that it is not known before parsing. A client that has to wait for any
        kind is then refused after MAX_PARSED_REFUSALS refusals. Raises RateLimitExceeded.
        """
        for name in self._policies if kind is None else (kind,):
            wait = self._seconds_to_wait(name, client)
            refusals, _ = self._refusals.counter(f"{name}/{client}")
            if wait and (kind is not None or refusals > MAX_PARSED_REFUSALS):
                RATE_LIMIT_REJECTIONS.labels(name).inc()
                raise RateLimitExceeded(RateLimitStatus(self._policies[name], 0, wait))

    def _seconds_to_wait(self, kind: RateLimitKind, client: str) -> int:
        """Return the remaining seconds of a wait; 0 within its last second.

        Waits are rounded up, so the last second may be over already.
        """
        _, ends_at = self._refusals.counter(f"{kind}/{client}")
        seconds = ends_at - time.time()
        return math.ceil(seconds) if seconds > 1 else 0

    async def reserve(self, attempt: Attempt) -> None:
        """Count an attempt before it is checked, even if limits are off. Raises RateLimitExceeded.

        This process counts it even while a shared store decides, so that a client gets no new
        attempts when the store becomes unavailable.
        """
        await self._reserve(self.sign_ins, self._attempts, attempt)

    async def count_token(self, client: str, token: str | None = None) -> None:
        """Count a wrong token, the same `token` once. Raises RateLimitExceeded."""
        if self.enabled:
            attempt = token_attempt(client, token, self._guesses.quota)
            await self._reserve(self._guesses, self._token_attempts, attempt)

    async def _reserve(
        self, policy: RateLimitPolicy, attempts: AttemptStore, attempt: Attempt
    ) -> None:
        shared = self._shared
        wait = local_wait = attempts.reserve(attempt, policy.seconds)
        if shared is not None:
            wait = await self._count(
                lambda: shared.reserve(attempt, policy.seconds), lambda: _return(local_wait)
            )
            if wait:
                attempts.cancel(attempt)
            elif local_wait:
                attempts.add(attempt, policy.seconds)
        if wait:
            RATE_LIMIT_REJECTIONS.labels(policy.kind).inc()
            raise RateLimitExceeded(RateLimitStatus(policy, 0, wait))

    async def clear_after_success(self, attempt: Attempt) -> None:
        """Remove the attempts of this client at this account, after a success."""
        self._attempts.clear_after_success(attempt)
        if self._shared is not None:
            await self._remove_from_store(self._shared.clear_after_success, attempt)

    async def cancel(self, attempt: Attempt) -> None:
        """Remove one attempt that was not checked; earlier attempts stay counted."""
        self._attempts.cancel(attempt)
        if self._shared is not None:
            await self._remove_from_store(self._shared.cancel, attempt)

    async def _remove_from_store(
        self, remove: Callable[[Attempt], Awaitable[None]], attempt: Attempt
    ) -> None:
        if self.is_store_unavailable:
            return
        try:
            await remove(attempt)
            self._set_store_error(None)
        except StoreUnavailable as error:
            self._set_store_error(error)

    async def probe_store(self) -> None:
        """Ask an unavailable store regularly, so that no request has to wait for it."""
        while self._shared is not None:
            await asyncio.sleep(STORE_PROBE_SECONDS)
            if self.is_store_unavailable:
                with suppress(StoreUnavailable):
                    await self._shared.hit(PROBE, "probe", 1)
                    self._set_store_error(None)

    async def close(self) -> None:
        """Close the connections to the store."""
        if self._shared is not None:
            await self._shared.close()

    async def _count(
        self, shared: Callable[[], Awaitable[T]], local: Callable[[], Awaitable[T]]
    ) -> T:
        """Count in the shared store, or in this process while the store is unavailable."""
        if self.is_store_unavailable:
            return await local()
        try:
            result = await shared()
        except StoreUnavailable as error:
            self._set_store_error(error)
            return await local()
        self._set_store_error(None)
        return result

    def _set_store_error(self, error: StoreUnavailable | None) -> None:
        """Record whether the store answers, and log a change. `error` None: it has answered."""
        if (error is not None) == self.is_store_unavailable:
            return
        if error is not None:
            log.warning("rate_limit_store_unavailable", error=type(error.__cause__).__name__)
        else:
            log.info("rate_limit_store_recovered")
        self.is_store_unavailable = error is not None
        # The counts of the two stores are independent.
        self._refusals.counters.clear()
        RATE_LIMIT_STORE_UNAVAILABLE.set(self.is_store_unavailable)


async def _return(value: T) -> T:
    return value


def _redis_limiter(uri: str) -> "RedisLimiter":
    from web.rate_limiting.redis_store import RedisLimiter  # noqa: PLC0415 - slow to import, rarely needed

    return RedisLimiter(uri)
