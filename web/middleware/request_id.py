"""Give every request an id."""

import random
import re
import time
from functools import lru_cache

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from observability.logging_setup import log_context
from observability.redaction import scrub
from observability.tracing import parse_trace_id
from web.headers import get_header

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in _CROCKFORD for second in _CROCKFORD]


class RequestId:
    """Take X-Request-ID and traceparent from the request, or make an id.

    Both are bound to every log line of the request; the response has the id.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = accepted_request_id(scope) or new_request_id()
        header = (b"x-request-id", request_id.encode())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        ids = {"request_id": request_id}
        traceparent = get_header(scope, b"traceparent")
        trace_id = parse_trace_id(traceparent) if traceparent else None
        if trace_id is not None:
            ids["trace_id"] = trace_id
        with log_context(ids):
            await self.app(scope, receive, send_with_id)


def accepted_request_id(scope: Scope) -> str | None:
    """Return X-Request-ID; None without one, or for one that may hold a phone number or token."""
    request_id = get_header(scope, b"x-request-id")
    if request_id is None or not _REQUEST_ID.fullmatch(request_id):
        return None
    return request_id if scrub(request_id) == request_id else None


def new_request_id() -> str:
    """Return a ULID: 26 characters, 48 bits of time and 80 random bits, sortable by time.

    Half of the random bits are the same for all ids of one millisecond.
    """
    bits, pairs = random.getrandbits(40), _PAIRS
    first, second = pairs[bits >> 30], pairs[bits >> 20 & 1023]
    prefix = _prefix(time.time_ns() // 1_000_000)
    return f"{prefix}{first}{second}{pairs[bits >> 10 & 1023]}{pairs[bits & 1023]}"


@lru_cache(maxsize=2)
def _prefix(milliseconds: int) -> str:
    bits = milliseconds << 40 | random.getrandbits(40)
    return "".join([_PAIRS[bits >> shift & 1023] for shift in range(80, -1, -10)])
