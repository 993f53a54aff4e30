"""Read a GraphQL request from an HTTP request."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope

from domain.errors.exceptions import (
    MalformedRequest,
    PersistedQueryNotFound,
    PersistedQueryNotSupported,
    UnsupportedMediaType,
)
from resilience.byte_bounded_cache import cached
from web.errors import header_index
from web.graphql.negotiation import HEADER_MAX_BYTES, HEADERS_MAX_BYTES, JSON_TYPE
from web.graphql.trusted_documents import TrustedDocuments

UTF_8 = ("utf-8", "utf8")

_CHARSET = re.compile(r"(?:^|;)\s*charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)


@dataclass(slots=True)
class GraphQLRequest:
    query: str
    variables: dict[str, Any] | None
    operation_name: str | None


class HttpRequest:
    """Of Starlette's, what an operation asks for, with less work for each."""

    __slots__ = ("_body", "_receive", "_take", "headers", "method", "scope")

    def __init__(
        self, scope: Scope, receive: Receive, take: Callable[[], bytes | None] | None = None
    ) -> None:
        self.scope = scope
        self.headers = header_index(scope)
        self.method: str = scope["method"]
        self._receive = receive
        # What gives a body that has arrived.
        self._take = take
        self._body: bytes | None = None

    def given(self, name: bytes) -> str | None:
        """A header by its name in lower case. Of several, the first one counts."""
        values = self.headers.get(name)
        return values[0].decode("latin-1") if values else None

    def header(self, name: bytes, default: str = "") -> str:
        """The same, with what stands for one that is not there."""
        values = self.headers.get(name)
        return values[0].decode("latin-1") if values else default

    async def body(self) -> bytes:
        """Raises ClientDisconnect."""
        if self._body is None and self._take is not None:
            self._body = self._take()
        if self._body is None:
            pieces = []
            is_whole = False
            while not is_whole:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                pieces.append(message.get("body", b""))
                is_whole = not message.get("more_body", False)
            self._body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return self._body

    @property
    def rest(self) -> Request:
        """Everything else: its address, its cookies."""
        return Request(self.scope)


async def parse(request: HttpRequest, trusted: TrustedDocuments) -> GraphQLRequest:
    """Raises MalformedRequest, UnsupportedMediaType, PersistedQueryNotSupported,
    PersistedQueryNotFound.
    """
    if request.method != "POST":
        return _checked(dict(request.rest.query_params), trusted, parse_nested=True)
    _require_json(request.header(b"content-type"), request.header(b"content-encoding", "identity"))
    return _checked(_json(await request.body()), trusted)


@cached(HEADERS_MAX_BYTES, max_entry_bytes=HEADER_MAX_BYTES)
def _require_json(content_type: str, encoding: str) -> None:
    """Raises UnsupportedMediaType."""
    kind, _, parameters = content_type.partition(";")
    if kind.strip().lower() != JSON_TYPE:
        raise UnsupportedMediaType("The body has to be sent as application/json.")
    charset = _CHARSET.search(parameters)
    if charset is not None and charset[1].lower() not in UTF_8:
        raise UnsupportedMediaType("The body has to be written in UTF-8.")
    if encoding.strip().lower() != "identity":
        raise UnsupportedMediaType("The body has to be sent as it is, without an encoding.")


def _checked(body: Any, trusted: TrustedDocuments, *, parse_nested: bool = False) -> GraphQLRequest:
    if isinstance(body, list):
        raise MalformedRequest("Batches are not supported: send one operation for each request.")
    if not isinstance(body, dict):
        raise MalformedRequest("The request has to be a JSON object with a query.")
    extensions = _object(body.get("extensions"), "extensions", parse_nested=parse_nested)
    query = body.get("query")
    if query in (None, ""):
        query = _persisted_query(body, extensions, trusted)
    if not isinstance(query, str) or not query.strip():
        raise MalformedRequest("query has to be a text with a GraphQL document.")
    operation_name = body.get("operationName")
    if operation_name is not None and not isinstance(operation_name, str):
        raise MalformedRequest("operationName has to be a text.")
    return GraphQLRequest(
        query=query,
        variables=_object(body.get("variables"), "variables", parse_nested=parse_nested),
        operation_name=operation_name or None,
    )


def _persisted_query(
    body: Mapping[str, Any], extensions: Mapping[str, Any] | None, trusted: TrustedDocuments
) -> str | None:
    """Return the trusted document that stands for the query.

    Raises PersistedQueryNotSupported without trusted documents, else PersistedQueryNotFound.
    """
    persisted = (extensions or {}).get("persistedQuery")
    name = body.get("documentId")
    if isinstance(persisted, dict):
        name = persisted.get("sha256Hash")
    document = trusted.find(name)
    if document is None and (persisted is not None or name is not None):
        raise PersistedQueryNotSupported if trusted.is_empty else PersistedQueryNotFound
    return document


def _object(value: Any, name: str, *, parse_nested: bool) -> dict[str, Any] | None:
    if parse_nested and isinstance(value, str):
        value = _json(value.encode(), f"The parameter {name}") if value else None
    if value is not None and not isinstance(value, dict):
        raise MalformedRequest(f"{name} has to be a JSON object.")
    return value


def _json(body: bytes, name: str = "The body") -> Any:
    """JSON; lone surrogates, which orjson refuses, are left to the rules of the form."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedRequest(f"{name} is not valid JSON.") from error


def _no_constant(name: str) -> Any:
    raise ValueError(name)
