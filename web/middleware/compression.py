"""Compress whole responses of text."""

import asyncio
import gzip
import re
from collections.abc import Callable, Mapping

import brotli
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resilience.byte_bounded_cache import cached
from web.headers import HEADER_CACHE_BYTES, HEADER_CACHE_ENTRY_BYTES, RawHeaders, get_header
from web.routes import STREAMING_PREFIXES

MINIMUM_SIZE = 1024
# Compressing so much takes about a millisecond, for which other requests would wait.
THREAD_MINIMUM_SIZE = 64 << 10
# Every other type that is served is compressed in itself.
COMPRESSIBLE = re.compile(r"text/|application/(?:[\w.-]+\+)?json\b|image/svg\+xml")

_VARY = (b"vary", b"Accept-Encoding")
_WEIGHT = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")


def _brotli(body: bytes) -> bytes:
    compressed: bytes = brotli.compress(body, quality=4)
    return compressed


# By preference.
ENCODINGS: Mapping[str, Callable[[bytes], bytes]] = {
    "br": _brotli,
    "gzip": lambda body: gzip.compress(body, compresslevel=6, mtime=0),
}


class Compression:
    """Compress responses of `minimum_size` bytes and more with Brotli or gzip.

    Responses in several messages and those below STREAMING_PREFIXES are sent as they are.
    """

    def __init__(self, app: ASGIApp, *, minimum_size: int = MINIMUM_SIZE) -> None:
        self.app = app
        self._minimum_size = minimum_size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(STREAMING_PREFIXES):
            await self.app(scope, receive, send)
            return
        start: Message | None = None

        async def send_compressed(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            if start is not None:
                head, start = start, None
                body = message.get("body", b"")
                if len(body) >= self._minimum_size and not message.get("more_body"):
                    head["headers"], message["body"] = await compressed(
                        get_header(scope, b"accept-encoding"), head.get("headers", ()), body
                    )
                await send(head)
            await send(message)

        await self.app(scope, receive, send_compressed)


async def compressed(
    accept_encoding: str | None, headers: RawHeaders, body: bytes
) -> tuple[RawHeaders, bytes]:
    """Return headers and body of a response in the best encoding that the client accepts."""
    index = dict(headers)
    if b"content-encoding" in index or not _is_text(index.get(b"content-type", b"")):
        return headers, body
    encoding = None if accept_encoding is None else negotiate_encoding(accept_encoding)
    if encoding is None:
        return [*headers, _VARY], body
    compress = ENCODINGS[encoding]
    if len(body) < THREAD_MINIMUM_SIZE:
        body = compress(body)
    else:
        body = await asyncio.to_thread(compress, body)
    others = [header for header in headers if header[0] != b"content-length"]
    length = (b"content-length", b"%d" % len(body))
    return [*others, _VARY, (b"content-encoding", encoding.encode()), length], body


@cached(HEADER_CACHE_BYTES, max_entry_bytes=HEADER_CACHE_ENTRY_BYTES)
def negotiate_encoding(accept_encoding: str) -> str | None:
    """Return the encoding to use, None where the body has to stay as it is."""
    entries = (entry.partition(";") for entry in accept_encoding.lower().split(","))
    weights = {name.strip(): _weight(parameter.strip()) for name, _, parameter in entries}
    wildcard = weights.get("*", 0.0)
    supported = {name: weights.get(name, wildcard) for name in ENCODINGS}
    best = max(supported, key=supported.__getitem__)
    if supported[best] > 0 and supported[best] >= weights.get("identity", 0.0):
        return best
    return None


def _weight(parameter: str) -> float:
    match = _WEIGHT.fullmatch(parameter or "q=1")
    return float(match[1]) if match else 0.0


@cached(HEADER_CACHE_BYTES, max_entry_bytes=HEADER_CACHE_ENTRY_BYTES)
def _is_text(media_type: bytes) -> bool:
    return COMPRESSIBLE.match(media_type.decode("latin-1")) is not None
