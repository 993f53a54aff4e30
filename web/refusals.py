"""Errors as whole responses, for everything that answers without GraphQL."""

from collections.abc import Mapping, Sequence

from starlette import datastructures
from starlette.types import Message, Scope

from domain.errors import DomainError
from resilience.telemetry import current_request_id
from schema.errors import error_body

JSON = "application/json; charset=utf-8"

Pairs = Sequence[tuple[bytes, bytes]]
# All that a request has under a name in lower case.
Headers = dict[bytes, tuple[bytes, ...]]

_SORTED = "icct26.headers"


def encoded(headers: Mapping[str, str]) -> Pairs:
    """Headers as they are sent, made once instead of for every answer."""
    return datastructures.Headers(headers).raw


def headers_of(scope: Scope) -> Headers:
    """Sorted once for all who ask; Starlette's would decode every one."""
    headers = scope["headers"]
    kept: tuple[object, Headers] | None = scope.get(_SORTED)
    if kept is None or kept[0] is not headers:
        found: Headers = {}
        for key, value in headers:
            found[key] = (*found[key], value) if key in found else (value,)
        kept = scope[_SORTED] = headers, found
    return kept[1]


def error_messages(
    scope: Scope, error: DomainError, *, status: int | None = None, close: bool = False
) -> tuple[Message, Message]:
    """The envelope as a whole response; `status` replaces its own, `close` ends the connection."""
    body = error_body(error, current_request_id())
    headers = {"Content-Type": JSON, "Content-Length": str(len(body))}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    if close:
        headers["Connection"] = "close"
    start = {
        "type": "http.response.start",
        "status": int(status or error.definition.http_status),
        "headers": encoded(headers),
    }
    return start, {"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body}
