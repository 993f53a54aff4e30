"""Answers made smaller for clients that can read them so."""

import gzip
import re
from collections.abc import Callable, Mapping
from functools import lru_cache

import brotli
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.guards import TRANSFERS

FROM_BYTES = 1024
# Types of text; everything else that is served is compressed in itself.
COMPRESSIBLE = re.compile(r"text/|application/(?:[\w.-]+\+)?json\b|image/svg\+xml")

_Q = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")


def _brotli(body: bytes) -> bytes:
    small: bytes = brotli.compress(body, quality=4)
    return small


# The one to prefer first.
ENCODINGS: Mapping[str, Callable[[bytes], bytes]] = {
    "br": _brotli,
    "gzip": lambda body: gzip.compress(body, compresslevel=6, mtime=0),
}


class Compression:
    """Of answers that are whole: those in pieces are files."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(TRANSFERS):
            await self.app(scope, receive, send)
            return
        start: Message | None = None

        async def send_compressed(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            if start is not None:
                if len(message.get("body", b"")) >= FROM_BYTES and not message.get("more_body"):
                    message = _compressed(scope, start, message)
                await send(start)
                start = None
            await send(message)

        await self.app(scope, receive, send_compressed)


@lru_cache(maxsize=256)
def accepted(header: str) -> str | None:
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


def _compressed(scope: Scope, start: Message, message: Message) -> Message:
    """The body in the best encoding; headers of `start` are changed to fit."""
    headers = MutableHeaders(scope=start)
    if "content-encoding" in headers or not COMPRESSIBLE.match(headers.get("content-type", "")):
        return message
    headers.add_vary_header("Accept-Encoding")
    encoding = accepted(Headers(scope=scope).get("accept-encoding", ""))
    if encoding is None:
        return message
    body = ENCODINGS[encoding](message["body"])
    headers["Content-Encoding"] = encoding
    headers["Content-Length"] = str(len(body))
    return {**message, "body": body}
