"""Errors as whole responses, for everything that answers without GraphQL."""

from collections.abc import Mapping, Sequence

from starlette import datastructures
from starlette.types import Scope

from domain.errors.exceptions import DomainError
from observability.logging_setup import current_request_id
from schema.errors import error_body
from web.graphql.negotiation import JSON_TYPE, error_type

JSON = f"{JSON_TYPE}; charset=utf-8"

RawHeaders = Sequence[tuple[bytes, bytes]]
# All that a request has under a name in lower case.
Headers = dict[bytes, tuple[bytes, ...]]

_SORTED = "icct26.headers"


def encoded(headers: Mapping[str, str]) -> RawHeaders:
    """Headers as they are sent."""
    return datastructures.Headers(headers).raw


class EncodedHeaders:
    """Headers that many answers have, made once: as pairs, and as lines of a head."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.pairs = encoded(headers)
        self.lines = b"".join([b"%b: %b\r\n" % pair for pair in self.pairs])
        self.names = frozenset(name for name, _ in self.pairs)


def header_index(scope: Scope) -> Headers:
    """Sorted once for all who ask; Starlette's would decode every one."""
    headers = scope["headers"]
    kept: tuple[object, Headers] | None = scope.get(_SORTED)
    if kept is None or kept[0] is not headers:
        found: Headers = {}
        for key, value in headers:
            found[key] = (*found[key], value) if key in found else (value,)
        kept = scope[_SORTED] = headers, found
    return kept[1]


def error_response(
    scope: Scope, error: DomainError, *, status: int | None = None, close: bool = False
) -> tuple[int, RawHeaders, bytes]:
    """The envelope as a whole response; `status` replaces its own, `close` ends the connection."""
    body = error_body(error, current_request_id())
    media_type = error_type(header_index(scope).get(b"accept", ()))
    headers = {
        "Content-Type": f"{media_type}; charset=utf-8",
        "Content-Length": str(len(body)),
        "Vary": "Accept",
    }
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    if close:
        headers["Connection"] = "close"
    shown = b"" if scope["method"] == "HEAD" else body
    return int(status or error.definition.http_status), encoded(headers), shown
