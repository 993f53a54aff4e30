"""Limit all requests of a client before anything of them is parsed."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from domain.errors.base import DomainError
from observability.metrics import RATE_LIMIT_REJECTIONS
from web.auth.authentication import KNOWN_CLIENT_COOKIES
from web.auth.client_ip import client_key
from web.headers import header_index
from web.rate_limiting.limiter import RateLimiter
from web.rate_limiting.status import RateLimitExceeded, RateLimitPolicy, RateLimitStatus

# A client that was quiet for so long may send all the requests of that time at once: twenty teams
# of one church send 660 files from one address, each with a preflight, an openUpload and a PUT.
BURST_MINUTES = 5
# About 12 MB.
MAX_CLIENTS = 50_000
UNCOUNTED_PATHS = frozenset(("/livez",))
# Monitoring systems ask for these. Counted apart, so that a flood of other requests does not make
# the server look dead.
PROBE_PATHS = frozenset(("/readyz", "/health", "/metrics"))
QUERY_PATH = "/graphql"

_REJECTIONS = RATE_LIMIT_REJECTIONS.labels("request")


class RateLimit:
    """Count each request by `limiter`. Raises RateLimitExceeded.

    A request to QUERY_PATH that an inner middleware refuses never becomes known as a query or
    mutation: it counts as a query in `operations`, the limits of operations.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limiter: "RequestRateLimiter",
        operations: RateLimiter | None = None,
    ) -> None:
        self.app = app
        self._limiter = limiter
        self._operations = operations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exceeded = self._limiter.count(scope)
        if exceeded is not None:
            raise exceeded
        try:
            await self.app(scope, receive, send)
        except DomainError:
            if self._operations is not None and scope["path"] == QUERY_PATH:
                await self._operations.hit("query", self._limiter.client(scope))
            raise


class RequestRateLimiter:
    """Allow a client `per_minute` requests, with a burst of BURST_MINUTES.

    A generic cell rate algorithm: one number for each client in the memory of this process, so that
    counting takes microseconds and no call to a store.

    `known_device` returns the name of a client that has signed in before, from the signed value of
    its cookie; None for a forged value. When its address has no requests left, such a client has
    requests of its own; the cookie is read only then.
    """

    def __init__(
        self,
        *,
        per_minute: int,
        trusted_proxies: Sequence[str],
        known_device: Callable[[str], str | None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval = 60 / per_minute
        self._policy = RateLimitPolicy(
            "request", "requests", per_minute * BURST_MINUTES, minutes=BURST_MINUTES
        )
        self._trusted_proxies = tuple(trusted_proxies)
        self._known_device = known_device
        self._clock = clock
        # The time at which a client's whole burst is free again, the least recent client first.
        self._free_at: OrderedDict[str, float] = OrderedDict()

    def client(self, scope: Scope) -> str:
        return client_key(scope, self._trusted_proxies)

    def count(self, scope: Scope) -> RateLimitExceeded | None:
        """Count a request; return an error if the client has none left."""
        path = scope["path"]
        if path in UNCOUNTED_PATHS:
            return None
        client = self.client(scope)
        if path in PROBE_PATHS:
            wait = self._take(f"probe {client}")
        else:
            wait = self._take(client)
            if wait > 0 and (device := self._device(scope)) is not None:
                wait = self._take(f"device {device}")
        if wait > 0:
            _REJECTIONS.inc()
            return RateLimitExceeded(RateLimitStatus(self._policy, 0, math.ceil(wait)))
        return None

    def _take(self, client: str) -> float:
        """Count a request if one is free. Return the seconds until one is, 0 or less if counted."""
        now, free_at = self._clock(), self._free_at
        due = max(free_at.get(client, now), now) + self._interval
        wait = due - now - self._policy.seconds
        if wait <= 0:
            free_at[client] = due
            free_at.move_to_end(client)
            if len(free_at) > MAX_CLIENTS:
                free_at.popitem(last=False)
        return wait

    def _device(self, scope: Scope) -> str | None:
        value = _known_client_cookie(header_index(scope).get(b"cookie", ()))
        return None if value is None else self._known_device(value)


def _known_client_cookie(cookies: Sequence[bytes]) -> str | None:
    """Return the first cookie of clients that have signed in before, unchecked."""
    for header in cookies:
        for pair in header.split(b";"):
            name, _, value = pair.strip().partition(b"=")
            if name in KNOWN_CLIENT_COOKIES:
                return value.decode("latin-1")
    return None
