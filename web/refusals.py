"""Errors as whole responses, for everything that answers without GraphQL."""

from collections.abc import Mapping, Sequence

from starlette.datastructures import Headers
from starlette.types import Message, Scope, Send

from domain.errors import DomainError
from resilience.telemetry import current_request_id
from schema.errors import error_body

JSON = "application/json; charset=utf-8"

Pairs = list[tuple[bytes, bytes]]

_SORTED = "icct26.headers"


def encoded(headers: Mapping[str, str]) -> Pairs:
    """Headers as they are sent, made once instead of for every answer."""
    return Headers(headers).raw


def values_of(scope: Scope, name: bytes) -> Sequence[bytes]:
    """All that a request has under this name in lower case.

    Its headers are sorted once for all who ask; Starlette's would decode every one.
    """
    headers = scope["headers"]
    kept = scope.get(_SORTED)
    if kept is None or kept[0] is not headers:
        found: dict[bytes, tuple[bytes, ...]] = {}
        for key, value in headers:
            found[key] = (*found[key], value) if key in found else (value,)
        kept = scope[_SORTED] = headers, found
    values: Sequence[bytes] = kept[1].get(name, ())
    return values


async def send_error(
    scope: Scope,
    send: Send,
    error: DomainError,
    *,
    status: int | None = None,
    close: bool = False,
) -> None:
    """The envelope as a whole response; `status` replaces its own, `close` ends the connection."""
    body = error_body(error, current_request_id())
    headers = {"Content-Type": JSON, "Content-Length": str(len(body))}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    if close:
        headers["Connection"] = "close"
    await send(
        {
            "type": "http.response.start",
            "status": int(status or error.definition.http_status),
            "headers": encoded(headers),
        }
    )
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


class Watched:
    """A `send` that knows whether a response has begun, and can put a refusal in its place."""

    def __init__(self, send: Send) -> None:
        self.status: int | None = None
        self._send = send
        self._refused = False

    @classmethod
    def around(cls, send: Send) -> "Watched":
        """The same one for all that follow one another."""
        return send if isinstance(send, cls) else cls(send)

    async def __call__(self, message: Message) -> None:
        if self._refused:
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)

    async def refuse(
        self, scope: Scope, error: DomainError, *, status: int | None = None, close: bool = False
    ) -> None:
        if self.status is None:
            await send_error(scope, self, error, status=status, close=close)
        self._refused = True
