"""What surrounds every request, in one layer: each of its own would cost every request again."""

import asyncio
import time
from collections.abc import Collection, Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Protocol, cast

import structlog
from prometheus_client import Histogram
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from domain.errors.exceptions import (
    BodyTooLarge,
    DomainError,
    Internal,
    MalformedRequest,
    RequestTimeout,
    ServiceUnavailable,
)
from observability.dedup import deduplicate_warnings
from observability.logging_setup import log_context, log_fast
from observability.metrics import REQUEST_SECONDS
from observability.tracing import is_tracing, request_span
from web.graphql.request import HttpRequest
from web.middleware.exchange import Exchange, Rules
from web.middleware.rate_limit import RateLimit
from web.middleware.request_id import (
    method_label,
    redacted_path,
    route_label,
    trace_log_fields,
    traceparent_of,
)
from web.middleware.timeout import TrustedHosts, content_length

log = structlog.get_logger(__name__)


class App(Starlette):
    """Without Starlette's own outermost layer: `Surroundings` answers what nobody else did."""

    def build_middleware_stack(self) -> ASGIApp:
        outermost: Any = super().build_middleware_stack()
        return cast("ASGIApp", outermost.app)


class Responder(Protocol):
    """What answers the requests of one path, without the router on the way to it."""

    methods: Collection[str]

    async def respond(self, request: HttpRequest) -> Response: ...

    async def refused(self, request: HttpRequest, error: DomainError) -> DomainError:
        """Count a request that is refused unread; the error, or a limit that it exceeds."""
        ...


class Surroundings:
    """Gives every request its id, its line in the log, its headers and its time, and answers in
    the application's place what must not reach it, or what it did not answer.

    The line has no query, address or agent, and no status where nobody was answered. Every answer
    has the headers of CORS, so that browsers see refusals too.

    A client has `receive_seconds` for every piece of a body, and a request `seconds`; the work is
    cancelled then. Where files are transferred, only the time without progress counts, and routes
    and connections see to it. `straight` are paths that are asked for most. `rate` counts every
    request first; None where rates are not limited.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        rules: Rules,
        hosts: TrustedHosts,
        straight: Mapping[str, Responder],
        rate: RateLimit | None,
    ) -> None:
        self.app = app
        self._rate = rate
        self._rules = rules
        self._hosts = hosts
        self._straight = straight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        exchange = Exchange(self._rules, scope, receive, send)
        path, traceparent = scope["path"], traceparent_of(exchange.headers)
        ids = {"request_id": exchange.request_id, **trace_log_fields(traceparent)}
        with log_context(ids), deduplicate_warnings():
            try:
                if is_tracing():
                    await self._traced(exchange, path, traceparent)
                else:
                    await self._answered(exchange)
            finally:
                seconds = time.perf_counter() - began
                _requests(route_label(path), exchange.status).observe(seconds)
                log_fast(
                    __name__,
                    "request_finished",
                    response_time_ms=round(seconds * 1000, 2),
                    method=scope["method"][:20],
                    path=redacted_path(path),
                    status=exchange.status,
                )

    async def _traced(self, exchange: Exchange, path: str, traceparent: str | None) -> None:
        name = f"{method_label(exchange.scope)} {route_label(path)}"
        with request_span(name, traceparent) as current:
            await self._answered(exchange)
            current.set_attribute("http.response.status_code", exchange.status or 0)

    async def _answered(self, exchange: Exchange) -> None:
        """Nothing unexpected leaves: the stack goes to the log, the id to the client."""
        scope = exchange.scope
        exceeded = None if self._rate is None else self._rate.count(scope)
        # A browser would hide a preflight that is refused, and the reason with it.
        if scope["method"] == "OPTIONS" and (preflight := self._rules.cors.preflight(scope)):
            await preflight(scope, exchange.receive, exchange.send_as_it_is)
            return
        announced = content_length(exchange.headers)
        refusal = exceeded or await self._refusal(exchange, announced)
        if refusal is not None:
            # A small rest is read and dropped by the server, a big one ends with the connection.
            await exchange.refuse(refusal, close=announced > self._rules.sizes.max_bytes)
            return
        try:
            await self._in_time(exchange)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:
            if exchange.is_late:
                await self._refuse_late(exchange)
                return
            # The server ends, and the time that it leaves to running requests is over.
            await exchange.refuse(ServiceUnavailable(), close=True)
            raise
        except DomainError as error:
            await exchange.refuse(error)
        except Exception:
            log.exception("unexpected_exception")
            await exchange.refuse(Internal())

    async def _refusal(self, exchange: Exchange, announced: int) -> DomainError | None:
        """What is said before anything is read."""
        path = exchange.scope["path"]
        error: DomainError | None = None
        if not self._hosts.serves(exchange.headers, path):
            error = MalformedRequest("This host name is not served here.")
        elif announced > exchange.limit:
            error = BodyTooLarge(exchange.limit)
        responder = self._straight.get(path)
        if error is not None and responder is not None:
            return await responder.refused(HttpRequest(exchange.scope, exchange.receive), error)
        return error

    async def _in_time(self, exchange: Exchange) -> None:
        """Raises CancelledError; it is about the time if `exchange.is_late`."""
        scope = exchange.scope
        if exchange.is_transfer:
            await self.app(scope, exchange.receive, exchange.send)
            return
        responder = self._straight.get(scope["path"])
        self._rules.deadlines.begin(exchange)
        try:
            if responder is not None and scope["method"] in responder.methods:
                request = HttpRequest(scope, exchange.receive, exchange.take_body)
                await exchange.answer(await responder.respond(request))
            else:
                await self.app(scope, exchange.receive, exchange.send)
        finally:
            self._rules.deadlines.end(exchange)

    async def _refuse_late(self, exchange: Exchange) -> None:
        """A response that has begun is cut off: it can no longer become an error."""
        if exchange.is_receiving:
            late = RequestTimeout("The body did not arrive in time.")
            await exchange.refuse(late, status=HTTPStatus.REQUEST_TIMEOUT, close=True)
            return
        log.warning("request_timed_out", timeout_seconds=self._rules.deadlines.seconds)
        await exchange.refuse(RequestTimeout(), close=True)


@lru_cache(maxsize=1024)
def _requests(route: str, status: int | None) -> Histogram:
    return REQUEST_SECONDS.labels(route, status or "none")
