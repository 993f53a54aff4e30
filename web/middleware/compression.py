"""Answers made smaller for clients that can read them so, unless they come in pieces."""

import gzip
import re
from collections.abc import Callable, Mapping

import brotli

from resilience.byte_bounded_cache import cached
from web.errors import Headers, RawHeaders
from web.graphql.negotiation import HEADER_MAX_BYTES, HEADERS_MAX_BYTES

MINIMUM_SIZE = 1024
# Types of text; everything else that is served is compressed in itself.
COMPRESSIBLE = re.compile(r"text/|application/(?:[\w.-]+\+)?json\b|image/svg\+xml")

_VARY = (b"vary", b"Accept-Encoding")
_Q = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")


def _brotli(body: bytes) -> bytes:
    small: bytes = brotli.compress(body, quality=4)
    return small


# The one to prefer first.
ENCODINGS: Mapping[str, Callable[[bytes], bytes]] = {
    "br": _brotli,
    "gzip": lambda body: gzip.compress(body, compresslevel=6, mtime=0),
}


@cached(HEADERS_MAX_BYTES, max_entry_bytes=HEADER_MAX_BYTES)
def negotiate_encoding(header: str) -> str | None:
    """The encoding to use for an Accept-Encoding; None where the body has to stay as it is."""
    entries = (entry.partition(";") for entry in header.lower().split(","))
    weights = {name.strip(): _weight(parameter.strip()) for name, _, parameter in entries}
    others = weights.get("*", 0.0)
    known = {name: weights.get(name, others) for name in ENCODINGS}
    best = max(known, key=known.__getitem__)
    return best if known[best] > 0 and known[best] >= weights.get("identity", 0.0) else None


def _weight(parameter: str) -> float:
    match = _Q.fullmatch(parameter or "q=1")
    return float(match[1]) if match else 0.0


@cached(HEADERS_MAX_BYTES, max_entry_bytes=HEADER_MAX_BYTES)
def _is_text(media_type: bytes) -> bool:
    return COMPRESSIBLE.match(media_type.decode("latin-1")) is not None


def compressed(asked: Headers, pairs: RawHeaders, body: bytes) -> tuple[RawHeaders, bytes]:
    """The headers of the answer and its body in the best encoding."""
    given = dict(pairs)
    if b"content-encoding" in given or not _is_text(given.get(b"content-type", b"")):
        return pairs, body
    ways = asked.get(b"accept-encoding")
    encoding = negotiate_encoding(ways[0].decode("latin-1")) if ways else None
    if encoding is None:
        return [*pairs, _VARY], body
    body = ENCODINGS[encoding](body)
    changed = [(b"content-encoding", encoding.encode()), (b"content-length", b"%d" % len(body))]
    return [*(pair for pair in pairs if pair[0] != b"content-length"), _VARY, *changed], body
