"""Parse GraphQL requests from HTTP requests."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request

from domain.errors.exceptions import (
    MalformedRequest,
    PersistedQueryNotFound,
    PersistedQueryNotSupported,
    UnsupportedMediaType,
)
from resilience.byte_bounded_cache import cached
from web.graphql.negotiation import JSON_TYPE
from web.graphql.trusted_documents import TrustedDocuments
from web.headers import HEADER_CACHE_BYTES, HEADER_CACHE_ENTRY_BYTES, get_header

UTF_8 = ("utf-8", "utf8")

_CHARSET = re.compile(r"(?:^|;)\s*charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)


@dataclass(slots=True)
class GraphQLRequest:
    query: str
    variables: dict[str, Any] | None
    operation_name: str | None


async def parse(request: Request, trusted: TrustedDocuments) -> GraphQLRequest:
    """Parse the query string of GET and HEAD, or the JSON body of POST.

    Raises MalformedRequest, UnsupportedMediaType, PersistedQueryNotSupported,
    PersistedQueryNotFound, ClientDisconnect.
    """
    if request.method != "POST":
        return _graphql_request(dict(request.query_params), trusted, parse_nested=True)
    scope = request.scope
    encoding = get_header(scope, b"content-encoding")
    _require_json(
        get_header(scope, b"content-type") or "", "identity" if encoding is None else encoding
    )
    return _graphql_request(_parse_json(await request.body()), trusted)


@cached(HEADER_CACHE_BYTES, max_entry_bytes=HEADER_CACHE_ENTRY_BYTES)
def _require_json(content_type: str, encoding: str) -> None:
    """Check the headers of a JSON body. Raises UnsupportedMediaType."""
    media_type, _, parameters = content_type.partition(";")
    if media_type.strip().lower() != JSON_TYPE:
        raise UnsupportedMediaType("The body has to be sent as application/json.")
    charset = _CHARSET.search(parameters)
    if charset is not None and charset[1].lower() not in UTF_8:
        raise UnsupportedMediaType("The body has to be written in UTF-8.")
    if encoding.strip().lower() != "identity":
        raise UnsupportedMediaType("The body has to be sent without a Content-Encoding.")


def _graphql_request(
    body: Any, trusted: TrustedDocuments, *, parse_nested: bool = False
) -> GraphQLRequest:
    if isinstance(body, list):
        raise MalformedRequest("Batches are not supported: send one operation for each request.")
    if not isinstance(body, dict):
        raise MalformedRequest("The request has to be a JSON object with a query.")
    extensions = _object(body.get("extensions"), "extensions", parse_nested=parse_nested)
    query = body.get("query")
    if query in (None, ""):
        query = _persisted_query(body, extensions, trusted)
    if not isinstance(query, str) or not query.strip():
        raise MalformedRequest("query has to be a string with a GraphQL document.")
    operation_name = body.get("operationName")
    if operation_name is not None and not isinstance(operation_name, str):
        raise MalformedRequest("operationName has to be a string.")
    return GraphQLRequest(
        query=query,
        variables=_object(body.get("variables"), "variables", parse_nested=parse_nested),
        operation_name=operation_name or None,
    )


def _persisted_query(
    body: Mapping[str, Any], extensions: Mapping[str, Any] | None, trusted: TrustedDocuments
) -> str | None:
    """Return the trusted document that the request names; None if it names none.

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
    """Return a JSON object or None. Raises MalformedRequest for any other value."""
    if parse_nested and isinstance(value, str):
        value = _parse_json(value.encode(), f"The parameter {name}") if value else None
    if value is not None and not isinstance(value, dict):
        raise MalformedRequest(f"{name} has to be a JSON object.")
    return value


def _parse_json(body: bytes, name: str = "The body") -> Any:
    """Parse JSON. Raises MalformedRequest.

    Lone surrogates, which orjson refuses, are left to the validation of the fields that have them.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(body, parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedRequest(f"{name} is not valid JSON.") from error


def _reject_constant(name: str) -> Any:
    """Reject NaN and Infinity, which are not JSON. Raises ValueError."""
    raise ValueError(name)
