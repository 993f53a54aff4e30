"""What surrounds every request: identity, log line, headers."""

import re
import secrets
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.errors import BadUserInput
from resilience.redaction import REDACTED, scrub
from resilience.telemetry import current_request_id
from schema.errors import error_body
from web.guards import TRANSFERS
from web.refusals import JSON, Watched

CORS_METHODS = ("GET", "POST", "PUT", "HEAD", "OPTIONS")
CORS_HEADERS = (
    "Authorization",
    "Content-Range",
    "Content-Type",
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
HSTS = "max-age=31536000; includeSubDomains"
MAX_LOGGED_PATH = 200

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

log = structlog.get_logger(__name__)


class RequestId:
    """Accepts the caller's X-Request-ID unless it could be a person's number or a token."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _accepted(Headers(scope=scope).get("x-request-id", "")) or new_request_id()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self.app(scope, receive, send_with_id)
        finally:
            structlog.contextvars.clear_contextvars()


class AccessLog:
    """One line per request, without query, address or agent. No status: nobody was answered."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        answer = Watched(send)
        try:
            await self.app(scope, receive, answer)
        finally:
            log.info(
                "request_finished",
                method=scope["method"][:20],
                path=_logged_path(scope["path"]),
                status=answer.status,
                response_time_ms=round((time.perf_counter() - began) * 1000, 2),
            )


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


class SecurityHeaders:
    """What a response sets itself stays."""

    def __init__(self, app: ASGIApp, *, https_only: bool) -> None:
        self.app = app
        self.https_only = https_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if self.https_only:
                    headers.setdefault("Strict-Transport-Security", HSTS)
            await send(message)

        await self.app(scope, receive, send_with_headers)


def new_request_id() -> str:
    """A ULID: 48 bits of time, 80 of chance, sortable, 26 characters."""
    number = time.time_ns() // 1_000_000 << 80 | secrets.randbits(80)
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def _accepted(request_id: str) -> str:
    if _REQUEST_ID.fullmatch(request_id) and scrub(request_id) == request_id:
        return request_id
    return ""


def _logged_path(path: str) -> str:
    # What follows in these paths is a capability: whoever knows it may use it.
    for prefix in TRANSFERS:
        if path.startswith(prefix):
            return prefix + REDACTED
    return path[:MAX_LOGGED_PATH]


def _without_content(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in headers.items()
        if not name.lower().startswith("content-l") and name.lower() != "content-type"
    }
