"""Limit the size of request bodies."""

from collections.abc import Mapping

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.errors.exceptions import BodyTooLarge
from web.errors import RequestAborted
from web.headers import content_length, header_index


class BodyLimit:
    """Refuse bodies of more than `max_bytes`, or less below the paths of `max_bytes_below`.

    Raises BodyTooLarge before anything is read if the declared length is too large. A body without
    a declared length is counted while the application reads it: the application then sees a client
    that has left, and what it sends is dropped.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, max_bytes_below: Mapping[str, int]) -> None:
        self.app = app
        self._max_bytes = max_bytes
        self._below = tuple(max_bytes_below.items())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit, length = self._limit(scope["path"]), content_length(scope)
        if length is not None and length > limit:
            raise BodyTooLarge(limit)
        if length is None or b"transfer-encoding" in header_index(scope):
            await self._count(limit, scope, receive, send)
        else:
            # The server sees to it that a body is not longer than declared.
            await self.app(scope, receive, send)

    async def _count(self, limit: int, scope: Scope, receive: Receive, send: Send) -> None:
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise ClientDisconnect
            return message

        async def send_unless_exceeded(message: Message) -> None:
            if received <= limit:
                await send(message)

        try:
            await self.app(scope, receive_counted, send_unless_exceeded)
        except Exception:
            if received <= limit:
                raise
        if received > limit:
            raise RequestAborted(BodyTooLarge(limit))

    def _limit(self, path: str) -> int:
        limit = self._max_bytes
        for prefix, max_bytes in self._below:
            if max_bytes < limit and path.startswith(prefix):
                limit = max_bytes
        return limit
