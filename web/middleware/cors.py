"""What browsers are told about pages that are not ours."""

from collections.abc import Sequence
from http import HTTPStatus

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from domain.errors.exceptions import MalformedRequest
from observability.logging_setup import current_request_id
from schema.errors import error_body
from web.errors import JSON, EncodedHeaders, Headers, header_index

METHODS = ("GET", "POST", "PUT", "HEAD", "OPTIONS")
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


class Cors:
    """Starlette's rules; which headers an answer gets is known before it is made."""

    def __init__(
        self, *, origins: Sequence[str], credentials: bool, headers: Sequence[str] = ()
    ) -> None:
        self._rules = CORSMiddleware(
            _nothing,
            allow_origins=origins,
            allow_credentials=credentials,
            allow_methods=METHODS,
            allow_headers=(*HEADERS, *headers),
            expose_headers=EXPOSED,
        )
        simple, to_all = self._rules.simple_headers, self._rules.allow_all_origins
        self._others = EncodedHeaders({**(simple if to_all else {}), **VARY})
        self._known = {
            origin.encode(): EncodedHeaders(
                {**simple, "Access-Control-Allow-Origin": origin, **VARY}
            )
            for origin in origins
            if not to_all
        }

    def block(self, headers: Headers) -> EncodedHeaders:
        """Headers of the answer."""
        origins = headers.get(b"origin")
        return self._known.get(origins[0], self._others) if origins else self._others

    def preflight(self, scope: Scope) -> Response | None:
        """The answer to a browser that asks before it sends; None for any other request."""
        if scope["method"] != "OPTIONS":
            return None
        if not {b"origin", b"access-control-request-method"} <= header_index(scope).keys():
            return None
        answer = self._rules.preflight_response(Request(scope).headers)
        headers = {
            name: value
            for name, value in answer.headers.items()
            if not name.startswith("content-l") and name != "content-type"
        }
        if answer.status_code < HTTPStatus.BAD_REQUEST:
            return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
        error = MalformedRequest("This origin, method or header is not allowed here.")
        body = error_body(error, current_request_id())
        return Response(body, answer.status_code, headers | {"Content-Type": JSON})


async def _nothing(_scope: Scope, _receive: object, _send: object) -> None:
    """What the rules are around."""
