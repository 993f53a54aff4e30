"""How often one client may ask: moving windows, in memory or in Redis and Valkey.

Who goes on asking for more than that waits longer: each breach within an hour doubles the wait.
Guesses at passwords, codes and tokens have windows of their own: see `attempts.py`.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, TypeVar

import structlog

from observability.metrics import RATE_LIMIT_REJECTIONS, RATE_LIMIT_STORE_UNAVAILABLE
from web.rate_limiting.attempts import Attempt, AttemptStore, token_attempt
from web.rate_limiting.memory import MemoryLimiter, StoreUnavailable, WindowStore
from web.rate_limiting.status import RateLimitExceeded, RateLimitPolicy, RateLimitStatus

if TYPE_CHECKING:
    from web.rate_limiting.redis_store import RedisLimiter

T = TypeVar("T")

Kind = Literal["mutation", "query", "upload"]

# Wrong tokens, tickets and links of one client within a quarter of an hour.
GUESSES_PER_WINDOW = 30

# Documents that had to be parsed for it, and for which a client is refused within one wait. A
# client that goes on gets only documents parsed that are known.
LATE_REFUSALS = 5

# A store that is away is asked by the probe alone, this often.
STORE_PROBE_SECONDS = 5.0
# Of the counts that find out whether the store is back, which may be any number.
PROBE = RateLimitPolicy("probe", "probes", 1_000_000, minutes=1)

log = structlog.get_logger(__name__)


class RateLimiter:
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
        self.is_store_unavailable = False
        self._policies: dict[Kind, RateLimitPolicy] = {
            "mutation": RateLimitPolicy("mutation", "mutations", requests_per_minute, minutes=1),
            "query": RateLimitPolicy("query", "queries", queries_per_minute, minutes=1),
            "upload": RateLimitPolicy("upload", "uploads", uploads_per_10_minutes, minutes=10),
        }
        self._tokens = RateLimitPolicy("guess", "guesses", GUESSES_PER_WINDOW, minutes=15)
        self.sign_ins = RateLimitPolicy("sign_in", "signIns", sign_ins_per_15_minutes, minutes=15)
        self._memory = MemoryLimiter()
        # Waits as clients were told, by whichever store, and their refusals since then.
        self._refusals = WindowStore()
        self._attempts = AttemptStore()
        # Apart, so that a flood of wrong tokens makes no guess at a password forgotten.
        self._token_attempts = AttemptStore()
        self._shared = None if storage_uri.startswith("memory:") else _shared(storage_uri)

    @property
    def is_shared(self) -> bool:
        """Whether several processes count together."""
        return self._shared is not None

    @property
    def is_healthy(self) -> bool:
        return not self.is_store_unavailable

    async def hit(self, kind: Kind, client: str, count: int = 1) -> RateLimitStatus | None:
        """Count operations, all or none; None where limits are lifted. Raises Exceeded."""
        if not self.enabled:
            return None
        policy = self._policies[kind]
        own, shared = self._memory, self._shared
        if shared is None:
            free = own.take(policy, client, count)
            if free is not None:
                return free
            status, wait = await own.hit(policy, client, count)
        else:
            status, wait = await self._count(
                lambda: shared.hit(policy, client, count), lambda: own.hit(policy, client, count)
            )
        if wait:
            RATE_LIMIT_REJECTIONS.labels(kind).inc()
            raise RateLimitExceeded(status)
        return status

    async def remember(self, refusal: RateLimitExceeded, client: str) -> None:
        """Remember a refusal that took work, so that those that follow take none."""
        kind, wait = refusal.rate_limit.policy.kind, refusal.rate_limit.reset_seconds
        await self._refusals.incr(f"{kind}/{client}", wait)

    def is_waiting(self, client: str) -> bool:
        """Whether operations of any kind would be refused, as far as is known without a store."""
        return any(self._wait(kind, client) for kind in self._policies)

    def require_no_wait(self, kind: Kind | None, client: str) -> None:
        """Refuse a client that `hit` would refuse; counts nothing and asks no store.

        `kind` None is not known yet: a client that has to wait for any kind is refused once that
        was said to it more than LATE_REFUSALS times. Raises Exceeded.
        """
        for name in self._policies if kind is None else (kind,):
            wait = self._wait(name, client)
            refusals, _ = self._refusals.counter(f"{name}/{client}")
            if wait and (kind is not None or refusals > LATE_REFUSALS):
                RATE_LIMIT_REJECTIONS.labels(name).inc()
                raise RateLimitExceeded(RateLimitStatus(self._policies[name], 0, wait))

    def _wait(self, kind: Kind, client: str) -> int:
        """Seconds that are left of a wait; 0 in its last one.

        A wait that was told is rounded up: within its last second it may be over.
        """
        _, ends_at = self._refusals.counter(f"{kind}/{client}")
        left = ends_at - time.time()
        return math.ceil(left) if left > 1 else 0

    async def reserve(self, attempt: Attempt) -> None:
        """Count a guess before it is judged, also where limits are lifted. Raises Exceeded.

        It is counted here also while a store decides: one that goes away gives no new guesses.
        """
        await self._reserve(self.sign_ins, self._attempts, attempt)

    async def count_token(self, client: str, text: str | None = None) -> None:
        """Count a token that was wrong, the same text once. Raises Exceeded."""
        if self.enabled:
            attempt = token_attempt(client, text, self._tokens.quota)
            await self._reserve(self._tokens, self._token_attempts, attempt)

    async def _reserve(self, policy: RateLimitPolicy, own: AttemptStore, attempt: Attempt) -> None:
        shared = self._shared
        wait = own_wait = own.reserve(attempt, policy.seconds)
        if shared is not None:
            wait = await self._count(
                lambda: shared.reserve(attempt, policy.seconds), lambda: _ready(own_wait)
            )
            if wait:
                own.remove(attempt)
            elif own_wait:
                own.add(attempt, policy.seconds)
        if wait:
            RATE_LIMIT_REJECTIONS.labels(policy.kind).inc()
            raise RateLimitExceeded(RateLimitStatus(policy, 0, wait))

    async def forgive(self, attempt: Attempt) -> None:
        """Give back what the guesser was counted for at this account, and nothing else."""
        self._attempts.forgive(attempt)
        if self._shared is not None:
            await self._give_back(self._shared.forgive, attempt)

    async def take_back(self, attempt: Attempt) -> None:
        """Give back one guess that was not judged; those before it stay counted."""
        self._attempts.remove(attempt)
        if self._shared is not None:
            await self._give_back(self._shared.take_back, attempt)

    async def _give_back(
        self, give_back: Callable[[Attempt], Awaitable[None]], attempt: Attempt
    ) -> None:
        if self.is_store_unavailable:
            return
        try:
            await give_back(attempt)
            self._set_store_error(None)
        except StoreUnavailable as away:
            self._set_store_error(away)

    async def probe_store(self) -> None:
        """Ask a store that is away now and then, so that no client's request has to wait for it."""
        while self._shared is not None:
            await asyncio.sleep(STORE_PROBE_SECONDS)
            if self.is_store_unavailable:
                with suppress(StoreUnavailable):
                    await self._shared.hit(PROBE, "probe", 1)
                    self._set_store_error(None)

    async def close(self) -> None:
        """Give the connections to the store back."""
        if self._shared is not None:
            await self._shared.close()

    async def _count(
        self, shared: Callable[[], Awaitable[T]], own: Callable[[], Awaitable[T]]
    ) -> T:
        """By the shared store, or by this process while that is away."""
        if self.is_store_unavailable:
            return await own()
        try:
            counted = await shared()
        except StoreUnavailable as away:
            self._set_store_error(away)
            return await own()
        self._set_store_error(None)
        return counted

    def _set_store_error(self, away: StoreUnavailable | None) -> None:
        """Log a change. None: the store has answered."""
        if (away is not None) == self.is_store_unavailable:
            return
        if away is not None:
            log.warning("rate_limit_store_away", error=type(away.__cause__).__name__)
        else:
            log.info("rate_limit_store_back")
        self.is_store_unavailable = away is not None
        # The other store has counted for itself.
        self._refusals.counters.clear()
        RATE_LIMIT_STORE_UNAVAILABLE.set(self.is_store_unavailable)


async def _ready(value: T) -> T:
    return value


def _shared(uri: str) -> "RedisLimiter":
    from web.rate_limiting.redis_store import RedisLimiter  # noqa: PLC0415 - takes long, few need it

    return RedisLimiter(uri)
