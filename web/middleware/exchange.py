"""One request and its answer, with what every answer has."""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from domain.errors.exceptions import BodyTooLarge, DomainError
from web.errors import EncodedHeaders, RawHeaders, error_response, header_index
from web.middleware.compression import MINIMUM_SIZE, compressed
from web.middleware.cors import Cors
from web.middleware.request_id import request_id_of
from web.middleware.timeout import STREAMING_PREFIXES, BodyLimits, Deadline, TimeoutScheduler
from web.rate_limiting.status import RateLimitExceeded

# Extensions of a scope, where the server has them: what sends status, headers, lines of more
# headers and body at once; and what takes a body that has arrived, if it is not larger than said.
WHOLE = "icct26.whole"
BODY = "icct26.body"
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
HSTS = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}

_NONE: Mapping[str, Any] = MappingProxyType({})

SendWhole = Callable[[int, RawHeaders, bytes, bytes], Awaitable[None]]
TakeBody = Callable[[int], bytes | None]


class Rules:
    """What holds for every request and answer."""

    def __init__(
        self,
        *,
        https_only: bool,
        cors: Cors,
        sizes: BodyLimits,
        deadlines: TimeoutScheduler,
        compresses: bool,
    ) -> None:
        self.cors = cors
        self.sizes = sizes
        self.deadlines = deadlines
        self.compresses = compresses
        self.common = EncodedHeaders({**SECURITY_HEADERS, **(HSTS if https_only else {})})


class Exchange(Deadline):
    """One request and its answer, as the application receives and sends them.

    `status` is None until an answer has begun. Its head waits for the first of its body, which may
    be compressed; what is transferred is sent as it comes.
    """

    __slots__ = (
        "_is_refused",
        "_receive",
        "_received",
        "_rules",
        "_send",
        "_start",
        "_taking",
        "_whole",
        "headers",
        "is_transfer",
        "limit",
        "request_id",
        "scope",
        "status",
    )

    def __init__(self, rules: Rules, scope: Scope, receive: Receive, send: Send) -> None:
        self.is_cut = self.is_late = self.is_received = self.is_receiving = False
        path = scope["path"]
        self.scope = scope
        self.headers = header_index(scope)
        self.request_id = request_id_of(self.headers)
        self.status: int | None = None
        self.is_transfer = path.startswith(STREAMING_PREFIXES)
        self.limit = rules.sizes.of(path)
        self._rules = rules
        self._receive = receive
        self._send = send
        self._received = 0
        self._start: Message | None = None
        self._is_refused = False
        extensions = scope.get("extensions", _NONE)
        self._whole: SendWhole | None = extensions.get(WHOLE)
        self._taking: TakeBody | None = extensions.get(BODY)

    def take_body(self) -> bytes | None:
        """All of it, if it is there and not too large; else it is to be received."""
        body = None if self._taking is None else self._taking(self.limit)
        if body is not None:
            self.is_received = True
        return body

    async def receive(self) -> Message:
        """Counts what arrives, in time. Raises ClientDisconnect for more than there may be."""
        deadlines = self._rules.deadlines
        is_awaited = not (self.is_transfer or self.is_received)
        if is_awaited:
            deadlines.start_body_wait(self)
        message = await self._receive()
        if is_awaited:
            deadlines.take_piece(self, is_last=not message.get("more_body", False))
        self._received += len(message.get("body", b""))
        if self._received > self.limit:
            await self.refuse(BodyTooLarge(self.limit), close=True)
            raise ClientDisconnect
        return message

    def answer(self, response: Response) -> Awaitable[None]:
        """As the response would send itself."""
        return self._send_whole(response.status_code, response.raw_headers, bytes(response.body))

    async def send(self, message: Message) -> None:
        if self._is_refused:
            return
        if message["type"] == "http.response.start":
            if not self.is_transfer:
                self._start = message
                return
            self._dress(message, self._rules.cors.block(self.headers).pairs)
        elif self._start is not None:
            start, self._start = self._start, None
            if not message.get("more_body"):
                await self._send_whole(start["status"], start["headers"], message.get("body", b""))
                return
            self._dress(start, self._rules.cors.block(self.headers).pairs)
            await self._send(start)
        await self._send(message)

    async def send_as_it_is(self, message: Message) -> None:
        """An answer that has all headers of CORS that it needs."""
        if message["type"] == "http.response.start":
            self._dress(message, ())
        await self._send(message)

    async def refuse(
        self, error: DomainError, *, status: int | None = None, close: bool = False
    ) -> None:
        """Put the error in the place of an answer that has not begun; after it nothing is sent."""
        if self.status is None:
            status, pairs, body = error_response(self.scope, error, status=status, close=close)
            if isinstance(error, RateLimitExceeded):
                pairs = [*pairs, *error.standing.pairs()]
            await self._send_whole(status, pairs, body)
        self._is_refused = True

    def _send_whole(self, status: int, pairs: RawHeaders, body: bytes) -> Awaitable[None]:
        rules, whole = self._rules, self._whole
        if rules.compresses and len(body) >= MINIMUM_SIZE:
            pairs, body = compressed(self.headers, pairs, body)
        cors = rules.cors.block(self.headers)
        is_plain = rules.common.names.isdisjoint(dict(pairs))
        if whole is not None and is_plain and (b"content-length", b"%d" % len(body)) in pairs:
            self.status = status
            return whole(status, [*pairs, self._id], cors.lines + rules.common.lines, body)
        return self._send_both(status, pairs, cors.pairs, body)

    async def _send_both(
        self, status: int, pairs: RawHeaders, cors: RawHeaders, body: bytes
    ) -> None:
        start = {"type": "http.response.start", "status": status, "headers": pairs}
        self._dress(start, cors)
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})

    def _dress(self, start: Message, cors: RawHeaders) -> None:
        """Add what every answer has; headers of its own stay."""
        self.status = start["status"]
        own = dict(start["headers"])
        common = [pair for pair in self._rules.common.pairs if pair[0] not in own]
        start["headers"] = [*start["headers"], *cors, *common, self._id]

    @property
    def _id(self) -> tuple[bytes, bytes]:
        return b"x-request-id", self.request_id.encode()
