"""Answer browsers of other origins."""

from collections.abc import Callable, Sequence
from http import HTTPStatus

from starlette import datastructures
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.errors.exceptions import MalformedRequest
from web.errors import error_response
from web.headers import encoded, header_index
from web.routes import METHODS

HEADERS = (
    "Authorization",
    "Content-Range",
    "Content-Type",
    "GraphQL-Cost",
    "Idempotency-Key",
    "X-Request-ID",
    "X-Requested-With",
    # Sent by tracing agents (W3C Trace Context and Baggage, Sentry).
    "Traceparent",
    "Tracestate",
    "Baggage",
    "Sentry-Trace",
    # Sent by Apollo's clients.
    "Apollo-Require-Preflight",
    "ApolloGraphQL-Client-Name",
    "ApolloGraphQL-Client-Version",
    "X-Apollo-Operation-Id",
    "X-Apollo-Operation-Name",
    "X-Apollo-Operation-Type",
)
EXPOSED = (
    "X-Request-ID",
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "Upload-Offset",
    "Upload-Length",
    "Content-Disposition",
)
VARY = {"Vary": "Origin"}


class CORS(CORSMiddleware):
    """Starlette's CORS middleware, with the error envelope on refused preflight requests.

    The headers of each allowed origin are encoded once. `headers` are request headers beside
    `HEADERS`. `on_preflight` is called for each preflight request, since they end here.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        origins: Sequence[str],
        credentials: bool,
        headers: Sequence[str] = (),
        on_preflight: Callable[[Scope], object] | None = None,
    ) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_credentials=credentials,
            allow_methods=METHODS,
            allow_headers=(*HEADERS, *headers),
            expose_headers=EXPOSED,
        )
        self._on_preflight = on_preflight
        simple = self.simple_headers
        self._default = encoded((simple if self.allow_all_origins else {}) | VARY)
        self._by_origin = {
            origin.encode(): encoded(simple | {"Access-Control-Allow-Origin": origin} | VARY)
            for origin in origins
            if not self.allow_all_origins
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = header_index(scope)
        origins = headers.get(b"origin")
        if origins and scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
            if self._on_preflight is not None:
                self._on_preflight(scope)
            response = self.preflight_response(datastructures.Headers(scope=scope))
            await response(scope, receive, send)
            return
        added = self._by_origin.get(origins[0], self._default) if origins else self._default

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        await self.app(scope, receive, send_with_headers)

    def preflight_response(self, request_headers: datastructures.Headers) -> Response:
        answer = super().preflight_response(request_headers)
        if answer.status_code < HTTPStatus.BAD_REQUEST:
            response = Response(status_code=HTTPStatus.NO_CONTENT)
        else:
            error = MalformedRequest("This origin, method or header is not allowed here.")
            response = error_response(error, status=answer.status_code)
            # Its Vary: Accept. Starlette's own value, if any, is added below.
            del response.headers["vary"]
        # Everything but the length and type of Starlette's text.
        response.raw_headers += [
            (name, value)
            for name, value in answer.raw_headers
            if name not in {b"content-length", b"content-type"}
        ]
        return response
