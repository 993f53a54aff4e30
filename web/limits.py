"""How often one client may ask: moving windows, in memory or in Redis and Valkey.

Who goes on asking for more than that waits longer: each breach within an hour doubles the wait.
"""

import math
import time
from typing import TYPE_CHECKING, Literal

import structlog

from resilience.metrics import RATE_LIMIT_REJECTIONS, RATE_LIMIT_STORE_AWAY
from web.standing import Exceeded, Policy, Standing
from web.windows import OwnCounting, StoreAway

if TYPE_CHECKING:
    from web.shared_windows import SharedCounting

Kind = Literal["mutation", "query", "upload", "sign_in"]

# A store that was away is not asked for so long.
STORE_PAUSE_SECONDS = 5.0

log = structlog.get_logger(__name__)


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
        self._own = OwnCounting()
        self._shared = None if storage_uri.startswith("memory:") else _shared(storage_uri)
        self._asked_again_at = -math.inf

    @property
    def is_shared(self) -> bool:
        """Whether several processes count together."""
        return self._shared is not None

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
        except StoreAway:
            self._note(away=True)

    async def close(self) -> None:
        """Give the connections to the store back."""
        if self._shared is not None:
            await self._shared.close()

    async def _count(
        self, shared: "SharedCounting", policy: Policy, client: str
    ) -> tuple[Standing, int]:
        """By the shared store, or by this process while that is away."""
        now = time.time()
        if self.store_is_away and now < self._asked_again_at:
            return await self._own.hit(policy, client)
        # Whoever comes while this one waits for the store does not wait for it too.
        self._asked_again_at = now + STORE_PAUSE_SECONDS
        try:
            counted = await shared.hit(policy, client)
        except StoreAway:
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


def _shared(uri: str) -> "SharedCounting":
    from web.shared_windows import SharedCounting  # noqa: PLC0415 - takes long, few need it

    return SharedCounting(uri)
