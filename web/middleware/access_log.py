"""Log, time and trace every request."""

import re
import time
from functools import lru_cache

from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from observability.dedup import deduplicate_warnings
from observability.logging_setup import log_fast
from observability.metrics import HTTP_REQUEST_SECONDS
from observability.redaction import REDACTED, percent_decode, scrub
from observability.tracing import is_tracing, request_span
from web.headers import get_header
from web.routes import METHODS, STREAMING_PREFIXES

MAX_LOGGED_PATH = 200
MAX_LOGGED_METHOD = 20
ROUTES = frozenset("/graphql /graphiql /livez /readyz /health /metrics /errors".split())

# Paths with a ticket or a link, also behind two slashes, in capitals or below another path.
_STREAMING = re.compile(
    rf"(?:{'|'.join(prefix.strip('/') for prefix in STREAMING_PREFIXES)})\W", re.IGNORECASE
)


class AccessLog:
    """Write one log line for each request, observe its duration and open a span if tracing is on.

    The line has no query string, address or user agent. `status` is null where no response was
    sent. A warning that repeats within a request is logged once.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        path, status = scope["path"], None

        async def send_with_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            with deduplicate_warnings():
                if is_tracing():
                    name = f"{method_label(scope['method'])} {route_label(path)}"
                    with request_span(name, get_header(scope, b"traceparent")) as span:
                        await self.app(scope, receive, send_with_status)
                        span.set_attribute("http.response.status_code", status or 0)
                else:
                    await self.app(scope, receive, send_with_status)
        finally:
            seconds = time.perf_counter() - start
            _durations(route_label(path), status).observe(seconds)
            log_fast(
                __name__,
                "request_finished",
                response_time_ms=round(seconds * 1000, 2),
                method=scope["method"][:MAX_LOGGED_METHOD],
                path=redacted_path(path),
                status=status,
            )


@lru_cache(maxsize=1024)
def _durations(route: str, status: int | None) -> Histogram:
    return HTTP_REQUEST_SECONDS.labels(route, status or "none")


def method_label(method: str) -> str:
    """Return one of a bounded number of labels."""
    return method if method in METHODS else "OTHER"


def route_label(path: str) -> str:
    """Return one of a bounded number of labels."""
    if path in ROUTES:
        return path
    return next((prefix for prefix in STREAMING_PREFIXES if path.startswith(prefix)), "other")


def redacted_path(path: str) -> str:
    """Return the path without tickets, links and anything that looks personal or secret."""
    if path in ROUTES:
        return path
    for prefix in STREAMING_PREFIXES:
        if path.startswith(prefix):
            return prefix + REDACTED
    path = percent_decode(path)
    streaming = _STREAMING.search(path)
    if streaming is not None:
        return scrub(path[: streaming.end()])[:MAX_LOGGED_PATH] + REDACTED
    return scrub(path)[:MAX_LOGGED_PATH]
