"""Choose the media type of a response: JSON or the type for GraphQL responses."""

import re

from domain.errors.exceptions import NotAcceptable
from resilience.byte_bounded_cache import cached
from web.headers import HEADER_CACHE_BYTES, HEADER_CACHE_ENTRY_BYTES

JSON_TYPE = "application/json"
GRAPHQL_TYPE = "application/graphql-response+json"

_QUALITY = re.compile(r"q\s*=\s*([01](?:\.\d{0,3})?)", re.IGNORECASE)
_WILDCARDS = ("application/*", "*/*")


def response_type(accept: tuple[bytes, ...]) -> str:
    """Return the media type that the client prefers; plain JSON without a preference.

    `accept` holds every Accept header of the request. Raises NotAcceptable.
    """
    media_type = _negotiate(accept)
    if media_type is None:
        raise NotAcceptable
    return media_type


def error_type(accept: tuple[bytes, ...]) -> str:
    """Return the media type of an error; plain JSON if the client accepts neither type."""
    return _negotiate(accept) or JSON_TYPE


@cached(HEADER_CACHE_BYTES, max_entry_bytes=HEADER_CACHE_ENTRY_BYTES)
def _negotiate(accept: tuple[bytes, ...]) -> str | None:
    """Return the preferred media type; None if neither is acceptable."""
    header = b",".join(accept).decode("latin-1").strip()
    if not header:
        return JSON_TYPE
    qualities = dict(_quality(entry) for entry in header.split(","))
    wildcard = next((qualities[name] for name in _WILDCARDS if name in qualities), 0.0)
    # At equal quality the GraphQL type wins if it is named, else JSON, for older clients.
    preferences = [
        (qualities.get(GRAPHQL_TYPE, wildcard), GRAPHQL_TYPE in qualities, GRAPHQL_TYPE),
        (qualities.get(JSON_TYPE, wildcard), GRAPHQL_TYPE not in qualities, JSON_TYPE),
    ]
    quality, _, media_type = max(preferences)
    return media_type if quality > 0 else None


def _quality(entry: str) -> tuple[str, float]:
    """Return the media range of an entry and its quality from 0 to 1."""
    name, *parameters = (word.strip().lower() for word in entry.split(";"))
    matches = (_QUALITY.fullmatch(parameter) for parameter in parameters)
    return name, next((float(match[1]) for match in matches if match), 1.0)
