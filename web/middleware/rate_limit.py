"""All requests of one client, bounded before anything of them is read."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from starlette.types import Scope

from observability.metrics import RATE_LIMIT_REJECTIONS
from web.auth.authentication import KNOWN_COOKIES
from web.auth.client_ip import client_key
from web.errors import header_index
from web.rate_limiting.status import RateLimitExceeded, RateLimitPolicy, RateLimitStatus

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
    that a request costs microseconds and no call to a store.

    An address that has no place left refuses a client that has signed in before only once that has
    used up places of its own: `device_of` gives its name by the signed text of its cookie, None for
    a text that is not from here. It is asked only then, once for a request.
    """

    def __init__(
        self,
        *,
        per_minute: int,
        trusted_proxies: Sequence[str],
        device_of: Callable[[str], str | None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval = 60 / per_minute
        self._policy = RateLimitPolicy(
            "request", "requests", per_minute * BURST_MINUTES, minutes=BURST_MINUTES
        )
        self._trusted_proxies = tuple(trusted_proxies)
        self._device_of = device_of
        self._clock = clock
        # When the whole burst is free again, the client first that was counted least recently.
        self._free_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._free_at)

    def count(self, scope: Scope) -> RateLimitExceeded | None:
        """Take a place for the request; the refusal where none is left."""
        path = scope["path"]
        if path in UNCOUNTED:
            return None
        client = client_key(scope, self._trusted_proxies)
        if path in PROBES:
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
        """Take a place, and return 0 or less; else the seconds until there is one."""
        now, free_at = self._clock(), self._free_at
        due = max(free_at.get(client, now), now) + self._interval
        wait = due - now - self._policy.seconds
        if wait <= 0:
            free_at[client] = due
            free_at.move_to_end(client)
            if len(free_at) > CLIENTS_KEPT:
                free_at.popitem(last=False)
        return wait

    def _device(self, scope: Scope) -> str | None:
        text = _known_text(header_index(scope).get(b"cookie", ()))
        return None if text is None else self._device_of(text)


def _known_text(cookies: Sequence[bytes]) -> str | None:
    """The first cookie that a client is known by, not checked."""
    for header in cookies:
        for pair in header.split(b";"):
            name, _, text = pair.strip().partition(b"=")
            if name in KNOWN_COOKIES:
                return text.decode("latin-1")
    return None
