"""What stands between a request and the application, and answers in its place."""

import asyncio
import re
from collections.abc import Mapping, Sequence

import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.errors import BadUserInput, BodyTooLarge, DomainError, Internal, RequestTimeout
from web.refusals import Watched, send_error

# Probes of the platform call by address, not by name; the answers depend on nothing they send.
PROBES = ("/livez", "/readyz")
MAX_DIGITS = 18
TRANSFERS = ("/uploads/", "/files/", "/exports/")

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+?)\.?(:[0-9]{1,5})?")

log = structlog.get_logger(__name__)


class CatchAll:
    """Nothing unexpected leaves the service: the stack goes to the log, the id to the client."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = Watched(send)
        try:
            await self.app(scope, receive, answer)
        except ClientDisconnect:
            return
        except DomainError as error:
            await answer.refuse(scope, error)
        except Exception:
            log.exception("unexpected_exception")
            await answer.refuse(scope, Internal())


class TrustedHosts:
    """`*.example.org` stands for every name below example.org."""

    def __init__(self, app: ASGIApp, *, allowed_hosts: Sequence[str]) -> None:
        self.app = app
        names = [host.lower() for host in allowed_hosts]
        self.exact = frozenset(name for name in names if not name.startswith("*."))
        self.endings = tuple(name[1:] for name in names if name.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES or self._is_known(scope):
            await self.app(scope, receive, send)
            return
        await send_error(scope, send, BadUserInput("This host name is not served here."))

    def _is_known(self, scope: Scope) -> bool:
        match = _HOST.fullmatch(",".join(Headers(scope=scope).getlist("host")).lower())
        return match is not None and (
            match[1] in self.exact or bool(self.endings and match[1].endswith(self.endings))
        )


class BodyLimit:
    """Counts what arrives; a declared length is refused before anything is read."""

    def __init__(
        self, app: ASGIApp, *, max_bytes: int, max_bytes_by_path: Mapping[str, int]
    ) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.max_bytes_by_path = max_bytes_by_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = min(self.max_bytes, self.max_bytes_by_path.get(scope["path"], self.max_bytes))
        declared = Headers(scope=scope).get("content-length", "")
        announced = int(declared[:MAX_DIGITS]) if declared.isdecimal() else 0
        if announced > limit:
            # A small rest is read and dropped by the server, a big one ends with the connection.
            close = announced > self.max_bytes
            await send_error(scope, send, BodyTooLarge(limit), close=close)
            return
        answer, received = Watched(send), 0

        async def counted_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                await answer.refuse(scope, BodyTooLarge(limit), close=True)
                raise ClientDisconnect
            return message

        await self.app(scope, counted_receive, answer)


class Timeout:
    """Cancels the work. A response that has begun is cut off: it can no longer become an error.

    Where bytes are transferred, the time without progress counts, not the whole of it.
    """

    def __init__(self, app: ASGIApp, *, seconds: float) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(TRANSFERS):
            await self.app(scope, receive, send)
            return
        answer = Watched(send)
        try:
            async with asyncio.timeout(self.seconds) as limit:
                await self.app(scope, receive, answer)
        except TimeoutError:
            if not limit.expired():
                raise
            log.warning("request_timed_out", timeout_seconds=self.seconds)
            await answer.refuse(scope, RequestTimeout(), close=True)
