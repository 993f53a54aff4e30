"""Request and response headers as ASGI has them: names in lower case, values as bytes."""

from collections.abc import Mapping, Sequence

from starlette import datastructures
from starlette.types import Scope

# Headers of a response, in the order in which they are sent.
RawHeaders = Sequence[tuple[bytes, bytes]]
# All values of a request by name.
Headers = dict[bytes, tuple[bytes, ...]]

MAX_LENGTH_DIGITS = 18
# Size limits of each cache that is keyed by request headers: of the cache and of one entry. Longer
# headers are parsed each time.
HEADER_CACHE_BYTES = 128 << 10
HEADER_CACHE_ENTRY_BYTES = 2 << 10

_INDEX = "icct26.header_index"


def encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Return headers as they are sent, names in lower case."""
    return datastructures.Headers(headers).raw


def header_index(scope: Scope) -> Headers:
    """Return the headers of a request by name.

    The index is made once for a request and kept in the scope: about ten callers ask for headers,
    and Starlette's `Headers` searches a list and decodes for each of them.
    """
    headers = scope["headers"]
    cached: tuple[list[object], Headers] | None = scope.get(_INDEX)
    # A middleware may have replaced or changed the headers. Comparing the lists takes little, since
    # their entries are the same objects.
    if cached is None or cached[0] != headers:
        index: Headers = {}
        for name, value in headers:
            index[name] = (*index[name], value) if name in index else (value,)
        cached = scope[_INDEX] = [*headers], index
    return cached[1]


def get_header(scope: Scope, name: bytes) -> str | None:
    """Return the first header of this name in lower case, None without one."""
    values = header_index(scope).get(name)
    return values[0].decode("latin-1") if values else None


def bearer_token(scope: Scope) -> str | None:
    """Return the bearer token of a request; None for another scheme, which a proxy may use."""
    scheme, _, token = (get_header(scope, b"authorization") or "").partition(" ")
    return token if scheme.lower() == "bearer" else None


def content_length(scope: Scope) -> int | None:
    """Return the declared length of the body; None without a valid one."""
    declared = b"".join(header_index(scope).get(b"content-length", ()))
    return int(declared[:MAX_LENGTH_DIGITS]) if declared.isdigit() else None
