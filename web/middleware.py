"""What surrounds every request, in one layer: each of its own would cost every request again."""

import asyncio
import time
from functools import lru_cache
from http import HTTPStatus

import structlog
from prometheus_client import Histogram
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, clear_contextvars

from domain.errors import (
    BadUserInput,
    BodyTooLarge,
    DomainError,
    Internal,
    RequestTimeout,
    ServiceUnavailable,
)
from resilience.metrics import REQUESTS
from resilience.repetition import each_warning_once
from resilience.telemetry import log_fact
from resilience.tracing import request_span
from web.compression import FROM_BYTES, compressed
from web.cors import Cors
from web.guards import TRANSFERS, BodyLimits, Deadline, Deadlines, TrustedHosts, announced_bytes
from web.identity import (
    logged_path,
    method_of,
    request_id_of,
    route_of,
    trace_of,
    traceparent_of,
)
from web.refusals import Pairs, encoded, error_messages

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
HSTS = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}

log = structlog.get_logger(__name__)


class Surroundings:
    """Gives every request its id, its line in the log, its headers and its time, and answers in
    the application's place what must not reach it, or what it did not answer.

    The line has no query, address or agent, and no status where nobody was answered. Every answer
    has the headers of CORS, so that browsers see refusals too.

    A client has `receive_seconds` for every piece of a body, and a request `seconds`; the work is
    cancelled then. Where files are transferred, only the time without progress counts, and routes
    and connections see to it.
    """

    def __init__(  # noqa: PLR0913 - one argument for each concern
        self,
        app: ASGIApp,
        *,
        https_only: bool,
        cors: Cors,
        hosts: TrustedHosts,
        sizes: BodyLimits,
        seconds: float,
        receive_seconds: float,
        compresses: bool,
    ) -> None:
        self.app = app
        self.cors = cors
        self.hosts = hosts
        self.sizes = sizes
        self.compresses = compresses
        self._deadlines = Deadlines(seconds=seconds, receive_seconds=receive_seconds)
        self.pairs = encoded({**SECURITY_HEADERS, **(HSTS if https_only else {})})
        self.replaceable = frozenset(name for name, _ in self.pairs)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = request_id_of(scope)
        exchange = Exchange(self, scope, receive, send, request_id)
        path = scope["path"]
        traceparent = traceparent_of(scope)
        bind_contextvars(request_id=request_id, **trace_of(traceparent))
        try:
            with (
                each_warning_once(),
                request_span(f"{method_of(scope)} {route_of(path)}", traceparent) as current,
            ):
                await self._answered(scope, exchange)
                if current is not None:
                    current.set_attribute("http.response.status_code", exchange.status or 0)
        finally:
            seconds = time.perf_counter() - began
            _requests(route_of(path), exchange.status).observe(seconds)
            log_fact(
                __name__,
                "request_finished",
                response_time_ms=round(seconds * 1000, 2),
                method=scope["method"][:20],
                path=logged_path(path),
                status=exchange.status,
            )
            clear_contextvars()

    async def _answered(self, scope: Scope, exchange: "Exchange") -> None:
        """Nothing unexpected leaves: the stack goes to the log, the id to the client."""
        preflight = self.cors.preflight(scope)
        if preflight is not None:
            await preflight(scope, exchange.receive, exchange.send_as_it_is)
            return
        announced = announced_bytes(scope)
        refusal = self._refusal(scope, announced, exchange.limit)
        if refusal is not None:
            # A small rest is read and dropped by the server, a big one ends with the connection.
            await exchange.refuse(refusal, close=announced > self.sizes.max_bytes)
            return
        try:
            await self._in_time(scope, exchange)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:
            # The server ends, and the time that it leaves to running requests is over.
            await exchange.refuse(ServiceUnavailable(), close=True)
            raise
        except DomainError as error:
            await exchange.refuse(error)
        except Exception:
            log.exception("unexpected_exception")
            await exchange.refuse(Internal())

    def _refusal(self, scope: Scope, announced: int, limit: int) -> DomainError | None:
        """What is said before anything is read."""
        if not self.hosts.serves(scope):
            return BadUserInput("This host name is not served here.")
        return BodyTooLarge(limit) if announced > limit else None

    async def _in_time(self, scope: Scope, exchange: "Exchange") -> None:
        """A response that has begun is cut off: it can no longer become an error."""
        if exchange.is_transfer:
            await self.app(scope, exchange.receive, exchange.send)
            return
        deadline = Deadline(self._deadlines, exchange.receive)
        try:
            with deadline:
                await self.app(scope, deadline.receive, exchange.send)
        except TimeoutError:
            if not deadline.is_over:
                raise
            if deadline.is_receiving:
                late = RequestTimeout("The body did not arrive in time.")
                await exchange.refuse(late, status=HTTPStatus.REQUEST_TIMEOUT, close=True)
                return
            log.warning("request_timed_out", timeout_seconds=self._deadlines.seconds)
            await exchange.refuse(RequestTimeout(), close=True)


class Exchange:
    """One request and its answer, as the application receives and sends them.

    `status` is None until an answer has begun. Its head waits for the first of its body, which may
    be compressed; what is transferred is sent as it comes.
    """

    __slots__ = (
        "_around",
        "_is_refused",
        "_receive",
        "_received",
        "_request_id",
        "_scope",
        "_send",
        "_start",
        "is_transfer",
        "limit",
        "status",
    )

    def __init__(
        self, around: Surroundings, scope: Scope, receive: Receive, send: Send, request_id: str
    ) -> None:
        path = scope["path"]
        self.status: int | None = None
        self.is_transfer = path.startswith(TRANSFERS)
        self.limit = around.sizes.of(path)
        self._around = around
        self._scope = scope
        self._receive = receive
        self._send = send
        self._request_id = request_id
        self._received = 0
        self._start: Message | None = None
        self._is_refused = False

    async def receive(self) -> Message:
        """Counts what arrives. Raises ClientDisconnect for more than there may be."""
        message = await self._receive()
        self._received += len(message.get("body", b""))
        if self._received > self.limit:
            await self.refuse(BodyTooLarge(self.limit), close=True)
            raise ClientDisconnect
        return message

    async def send(self, message: Message) -> None:
        if self._is_refused:
            return
        if message["type"] == "http.response.start":
            if not self.is_transfer:
                self._start = message
                return
            self._dress(message, self._around.cors.pairs(self._scope))
        elif self._start is not None:
            start, self._start = self._start, None
            is_large = len(message.get("body", b"")) >= FROM_BYTES
            if is_large and self._around.compresses and not message.get("more_body"):
                message = compressed(self._scope, start, message)
            self._dress(start, self._around.cors.pairs(self._scope))
            await self._send(start)
        await self._send(message)

    async def send_as_it_is(self, message: Message) -> None:
        """An answer that has all headers of CORS that it needs."""
        if message["type"] == "http.response.start":
            self._dress(message, ())
        await self._send(message)

    async def refuse(
        self, error: DomainError, *, status: int | None = None, close: bool = False
    ) -> None:
        """Put the error in the place of an answer that has not begun; after it nothing is sent."""
        if self.status is None:
            start, body = error_messages(self._scope, error, status=status, close=close)
            self._dress(start, self._around.cors.pairs(self._scope))
            await self._send(start)
            await self._send(body)
        self._is_refused = True

    def _dress(self, start: Message, cors: Pairs) -> None:
        """Add what every answer has; headers of its own stay."""
        self.status = start["status"]
        own, pairs = start["headers"], self._around.pairs
        names = self._around.replaceable.intersection([name for name, _ in own])
        if names:
            pairs = [pair for pair in pairs if pair[0] not in names]
        start["headers"] = [*own, *cors, *pairs, (b"x-request-id", self._request_id.encode())]


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


@lru_cache(maxsize=1024)
def _requests(route: str, status: int | None) -> Histogram:
    return REQUESTS.labels(route, status or "none")
