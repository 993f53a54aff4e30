"""All requests of one client, bounded before anything of them is read."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from starlette.types import Scope

from domain.errors import DomainError
from resilience.metrics import RATE_LIMIT_REJECTIONS
from web.clients import client_address
from web.limits import RateLimits
from web.standing import Exceeded, Policy, Standing

# A client that was quiet for so long may send all the requests of that time at once: twenty teams
# of one church send 660 files from one address, each with a preflight, an openUpload and a PUT.
BURST_MINUTES = 5
# About 12 MB.
CLIENTS_KEPT = 50_000
UNCOUNTED = frozenset(("/livez",))
# Asked by monitoring systems, which share an address with nobody; counted apart, so that a flood
# of other requests does not make a server look dead.
PROBES = frozenset(("/readyz", "/health", "/metrics"))

_REJECTIONS = RATE_LIMIT_REJECTIONS.labels("request")


class RateLimit:
    """Count every request of a client, whatever it is: `per_minute`, with a burst.

    A generic cell rate algorithm: one number for each client, in the memory of this process, so
    that a request costs microseconds and no call to a store. `limits` are the finer ones, which a
    request is charged to that is refused before it is known to be a query or a mutation.
    """

    def __init__(
        self,
        *,
        per_minute: int,
        trusted_proxies: Sequence[str],
        limits: RateLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval = 60 / per_minute
        self._policy = Policy(
            "request", "requests", per_minute * BURST_MINUTES, minutes=BURST_MINUTES
        )
        self._trusted_proxies = tuple(trusted_proxies)
        self._limits = limits
        self._clock = clock
        # When the whole burst is free again, the client first that was counted least recently.
        self._free_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._free_at)

    def count(self, scope: Scope) -> Exceeded | None:
        """Take a place for the request; the refusal where none is left."""
        path = scope["path"]
        if path in UNCOUNTED:
            return None
        client = client_address(scope, self._trusted_proxies)
        if path in PROBES:
            client = f"probe {client}"
        now, free_at = self._clock(), self._free_at
        due = max(free_at.get(client, now), now) + self._interval
        wait = due - now - self._policy.seconds
        if wait > 0:
            _REJECTIONS.inc()
            return Exceeded(Standing(self._policy, 0, math.ceil(wait)))
        free_at[client] = due
        free_at.move_to_end(client)
        if len(free_at) > CLIENTS_KEPT:
            free_at.popitem(last=False)
        return None

    async def charge(self, scope: Scope, error: DomainError) -> DomainError:
        """Count an operation that is refused unread as a query.

        Gives the error, or the refusal where the client has no query left.
        """
        if self._limits is None:
            return error
        try:
            await self._limits.hit("query", client_address(scope, self._trusted_proxies))
        except Exceeded as refusal:
            return refusal
        return error
