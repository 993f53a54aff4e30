"""What surrounds every request: identity, log line, headers."""

import random
import re
import time
from collections.abc import Awaitable, Mapping, Sequence
from functools import lru_cache
from http import HTTPStatus

from prometheus_client import Histogram
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, clear_contextvars

from domain.errors import BadUserInput
from resilience.metrics import REQUESTS
from resilience.redaction import REDACTED, scrub
from resilience.repetition import each_warning_once
from resilience.telemetry import current_request_id, log_request
from resilience.tracing import request_span, trace_id_of
from schema.errors import error_body
from web.guards import TRANSFERS
from web.refusals import JSON, Pairs, encoded, values_of

CORS_METHODS = ("GET", "POST", "PUT", "HEAD", "OPTIONS")
CORS_HEADERS = (
    "Authorization",
    "Content-Range",
    "Content-Type",
    "GraphQL-Cost",
    "Idempotency-Key",
    "X-Request-ID",
    "X-Requested-With",
)
CORS_EXPOSED = (
    "X-Request-ID",
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "Upload-Offset",
    "Upload-Length",
    "Content-Disposition",
)
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
HSTS = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}
VARY = {"Vary": "Origin"}
MAX_LOGGED_PATH = 200
ROUTES = frozenset("/graphql /graphiql /livez /readyz /health /metrics /errors".split())

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in _CROCKFORD for second in _CROCKFORD]


class Envelope:
    """Gives every request its id, its line in the log and, unless it sets them, its headers.

    The caller's X-Request-ID is taken unless it could be a person's number or a token. The line
    has no query, address or agent, and no status where nobody was answered.
    """

    def __init__(self, app: ASGIApp, *, https_only: bool) -> None:
        self.app = app
        self._pairs = encoded({**SECURITY_HEADERS, **(HSTS if https_only else {})})
        self._names = frozenset(name for name, _ in self._pairs)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        given = values_of(scope, b"x-request-id")
        request_id = (_accepted(given[0].decode("latin-1")) if given else "") or new_request_id()
        answer = _Dressed(send, [*self._pairs, (b"x-request-id", request_id.encode())], self._names)
        route = _route(scope["path"])
        traceparent = _traceparent(scope)
        bind_contextvars(request_id=request_id, **_trace(traceparent))
        try:
            with (
                each_warning_once(),
                request_span(f"{_method(scope)} {route}", traceparent) as current,
            ):
                await self.app(scope, receive, answer)
                if current is not None:
                    current.set_attribute("http.response.status_code", answer.status or 0)
        finally:
            seconds = time.perf_counter() - began
            _requests(route, answer.status).observe(seconds)
            log_request(
                method=scope["method"][:20],
                path=_logged_path(scope["path"]),
                status=answer.status,
                milliseconds=round(seconds * 1000, 2),
            )
            clear_contextvars()


class _Dressed:
    """A `send` that adds headers, and knows the status."""

    def __init__(self, send: Send, pairs: Pairs, replaceable: frozenset[bytes]) -> None:
        self.status: int | None = None
        self._send = send
        self._pairs = pairs
        self._replaceable = replaceable

    def __call__(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own, pairs = message["headers"], self._pairs
            names = self._replaceable.intersection([name for name, _ in own])
            if names:
                pairs = [pair for pair in pairs if pair[0] not in names]
            message["headers"] = [*own, *pairs]
        return self._send(message)


class Cors(CORSMiddleware):
    """Starlette's, whose own answers carry our headers, and refusals our envelope."""

    def __init__(self, app: ASGIApp, *, origins: Sequence[str], credentials: bool) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_credentials=credentials,
            allow_methods=CORS_METHODS,
            allow_headers=CORS_HEADERS,
            expose_headers=CORS_EXPOSED,
        )

        always = self.simple_headers if self.allow_all_origins else {}
        self._others = encoded({**always, **VARY})
        self._known = {
            origin: encoded({**self.simple_headers, "Access-Control-Allow-Origin": origin, **VARY})
            for origin in origins
            if not self.allow_all_origins
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not values_of(scope, b"origin"):
            await self.app(scope, receive, _Dressed(send, self._others, frozenset()))
        else:
            await super().__call__(scope, receive, send)

    async def send(self, message: Message, send: Send, request_headers: Headers) -> None:
        if message["type"] == "http.response.start":
            added = self._known.get(request_headers.get("origin", ""), self._others)
            message["headers"] = [*message["headers"], *added]
        await send(message)

    def preflight_response(self, request_headers: Headers) -> Response:
        answer = super().preflight_response(request_headers)
        headers = {**SECURITY_HEADERS, **answer.headers}
        if answer.status_code < HTTPStatus.BAD_REQUEST:
            return Response(status_code=HTTPStatus.NO_CONTENT, headers=_without_content(headers))
        error = BadUserInput("This origin, method or header is not allowed here.")
        return Response(
            error_body(error, current_request_id()),
            status_code=answer.status_code,
            headers={**_without_content(headers), "Content-Type": JSON},
        )


class Straight:
    """The way to the one path that is asked for most, past the router and what surrounds it."""

    def __init__(
        self, app: ASGIApp, *, path: str, methods: frozenset[str], endpoint: ASGIApp
    ) -> None:
        self.app = app
        self._path = path
        self._methods = methods
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_straight = (
            scope["type"] == "http"
            and scope["path"] == self._path
            and scope["method"] in self._methods
        )
        await (self._endpoint if is_straight else self.app)(scope, receive, send)


def new_request_id() -> str:
    """A ULID: 48 bits of time, 80 of chance, sortable, 26 characters."""
    number = time.time_ns() // 1_000_000 << 80 | random.getrandbits(80)
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])


def _accepted(request_id: str) -> str:
    if _REQUEST_ID.fullmatch(request_id) and scrub(request_id) == request_id:
        return request_id
    return ""


@lru_cache(maxsize=1024)
def _requests(route: str, status: int | None) -> Histogram:
    return REQUESTS.labels(route, status or "none")


def _traceparent(scope: Scope) -> str | None:
    given = values_of(scope, b"traceparent")
    return given[0].decode("latin-1") if given else None


def _trace(traceparent: str | None) -> dict[str, str]:
    """What the log says of the trace that the request belongs to."""
    trace_id = trace_id_of(traceparent) if traceparent else None
    return {"trace_id": trace_id} if trace_id else {}


def _method(scope: Scope) -> str:
    """Of a bounded set."""
    return scope["method"] if scope["method"] in CORS_METHODS else "OTHER"


def _route(path: str) -> str:
    """Of a bounded set, whatever was asked for."""
    if path in ROUTES:
        return path
    return next((prefix for prefix in TRANSFERS if path.startswith(prefix)), "other")


def _logged_path(path: str) -> str:
    if path in ROUTES:
        return path
    # What follows in these paths is a capability: whoever knows it may use it.
    for prefix in TRANSFERS:
        if path.startswith(prefix):
            return prefix + REDACTED
    return scrub(path[:MAX_LOGGED_PATH])


def _without_content(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in headers.items()
        if not name.lower().startswith("content-l") and name.lower() != "content-type"
    }
