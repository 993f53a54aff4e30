"""One request and its answer, with what every answer has."""

from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from domain.errors import BodyTooLarge, DomainError
from web.compression import FROM_BYTES, compressed
from web.cors import Cors
from web.guards import TRANSFERS, BodyLimits, Deadlines, Timed
from web.identity import request_id_of
from web.refusals import Pairs, encoded, error_messages, headers_of

# Of a scope: sends status, headers and body at once, where the server can.
WHOLE = "icct26.whole"
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
HSTS = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}

SendWhole = Callable[[int, Pairs, bytes], Awaitable[None]]


class Rules:
    """What holds for every request and answer."""

    def __init__(
        self,
        *,
        https_only: bool,
        cors: Cors,
        sizes: BodyLimits,
        deadlines: Deadlines,
        compresses: bool,
    ) -> None:
        self.cors = cors
        self.sizes = sizes
        self.deadlines = deadlines
        self.compresses = compresses
        self._pairs = encoded({**SECURITY_HEADERS, **(HSTS if https_only else {})})
        self._replaceable = frozenset(name for name, _ in self._pairs)

    def pairs_beside(self, own: Pairs) -> Pairs:
        """What every answer has; headers of its own stay."""
        names = self._replaceable.intersection([name for name, _ in own])
        return [pair for pair in self._pairs if pair[0] not in names] if names else self._pairs


class Exchange(Timed):
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
        "headers",
        "is_transfer",
        "limit",
        "request_id",
        "scope",
        "status",
    )

    def __init__(self, rules: Rules, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__()
        path = scope["path"]
        self.scope = scope
        self.headers = headers_of(scope)
        self.request_id = request_id_of(self.headers)
        self.status: int | None = None
        self.is_transfer = path.startswith(TRANSFERS)
        self.limit = rules.sizes.of(path)
        self._rules = rules
        self._receive = receive
        self._send = send
        self._received = 0
        self._start: Message | None = None
        self._is_refused = False

    async def receive(self) -> Message:
        """Counts what arrives, in time. Raises ClientDisconnect for more than there may be."""
        deadlines = self._rules.deadlines
        is_awaited = not (self.is_transfer or self.is_received)
        if is_awaited:
            deadlines.await_piece(self)
        message = await self._receive()
        if is_awaited:
            deadlines.take_piece(self, is_last=not message.get("more_body", False))
        self._received += len(message.get("body", b""))
        if self._received > self.limit:
            await self.refuse(BodyTooLarge(self.limit), close=True)
            raise ClientDisconnect
        return message

    async def answer(self, response: Response) -> None:
        """As the response would send itself."""
        if self._is_refused:
            return
        start = {
            "type": "http.response.start",
            "status": response.status_code,
            "headers": response.raw_headers,
        }
        await self._send_whole(start, {"type": "http.response.body", "body": response.body})

    async def send(self, message: Message) -> None:
        if self._is_refused:
            return
        if message["type"] == "http.response.start":
            if not self.is_transfer:
                self._start = message
                return
            self._dress(message, self._rules.cors.pairs(self.headers))
        elif self._start is not None:
            start, self._start = self._start, None
            if not message.get("more_body"):
                await self._send_whole(start, message)
                return
            self._dress(start, self._rules.cors.pairs(self.headers))
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
            await self._send_whole(*error_messages(self.scope, error, status=status, close=close))
        self._is_refused = True

    async def _send_whole(self, start: Message, message: Message) -> None:
        body = message.get("body", b"")
        if self._rules.compresses and len(body) >= FROM_BYTES:
            message = compressed(self.headers, start, message)
            body = message["body"]
        self._dress(start, self._rules.cors.pairs(self.headers))
        whole: SendWhole | None = self.scope.get("extensions", {}).get(WHOLE)
        if whole is not None and (b"content-length", b"%d" % len(body)) in start["headers"]:
            await whole(start["status"], start["headers"], body)
        else:
            await self._send(start)
            await self._send(message)

    def _dress(self, start: Message, cors: Pairs) -> None:
        self.status = start["status"]
        own = start["headers"]
        pairs = self._rules.pairs_beside(own)
        start["headers"] = [*own, *cors, *pairs, (b"x-request-id", self.request_id.encode())]
