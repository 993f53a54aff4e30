"""What a request is called: its id, its trace, and what is told of where it went."""

import random
import re
import time
from functools import lru_cache

from starlette.types import Scope

from observability.redaction import REDACTED, percent_decode, scrub
from observability.tracing import parse_trace_id
from web.errors import Headers
from web.middleware.cors import METHODS
from web.middleware.timeout import STREAMING_PREFIXES

MAX_LOGGED_PATH = 200
ROUTES = frozenset("/graphql /graphiql /livez /readyz /health /metrics /errors".split())

# However it is written: behind two slashes, in capitals, below another path.
_TRANSFER = re.compile(
    rf"(?:{'|'.join(one.strip('/') for one in STREAMING_PREFIXES)})\W", re.IGNORECASE
)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in _CROCKFORD for second in _CROCKFORD]


def request_id_of(headers: Headers) -> str:
    """The caller's X-Request-ID, or a new one in the place of what could be a number or a token."""
    given = headers.get(b"x-request-id")
    if given is not None:
        request_id = given[0].decode("latin-1")
        if _REQUEST_ID.fullmatch(request_id) and scrub(request_id) == request_id:
            return request_id
    return new_request_id()


def new_request_id() -> str:
    """A ULID: 48 bits of time, 80 of chance, sortable, 26 characters.

    Half of the chance is the process's own for the millisecond.
    """
    bits, pairs = random.getrandbits(40), _PAIRS
    first, second = pairs[bits >> 30], pairs[bits >> 20 & 1023]
    moment = _moment(time.time_ns() // 1_000_000)
    return f"{moment}{first}{second}{pairs[bits >> 10 & 1023]}{pairs[bits & 1023]}"


@lru_cache(maxsize=2)
def _moment(milliseconds: int) -> str:
    bits = milliseconds << 40 | random.getrandbits(40)
    return "".join([_PAIRS[bits >> shift & 1023] for shift in range(80, -1, -10)])


def traceparent_of(headers: Headers) -> str | None:
    given = headers.get(b"traceparent")
    return given[0].decode("latin-1") if given else None


def trace_log_fields(traceparent: str | None) -> dict[str, str]:
    """What the log says of the trace that the request belongs to."""
    trace_id = parse_trace_id(traceparent) if traceparent else None
    return {"trace_id": trace_id} if trace_id else {}


def method_label(scope: Scope) -> str:
    """Of a bounded set."""
    return scope["method"] if scope["method"] in METHODS else "OTHER"


def route_label(path: str) -> str:
    """Of a bounded set, whatever was asked for."""
    if path in ROUTES:
        return path
    return next((prefix for prefix in STREAMING_PREFIXES if path.startswith(prefix)), "other")


def redacted_path(path: str) -> str:
    """The path without capabilities: what follows in paths of transfers, and all that is secret."""
    if path in ROUTES:
        return path
    for prefix in STREAMING_PREFIXES:
        if path.startswith(prefix):
            return prefix + REDACTED
    path = percent_decode(path)
    transfer = _TRANSFER.search(path)
    if transfer is not None:
        return scrub(path[: transfer.end()])[:MAX_LOGGED_PATH] + REDACTED
    return scrub(path)[:MAX_LOGGED_PATH]
