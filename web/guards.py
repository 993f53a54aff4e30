"""What stands between a request and the application, and answers in its place."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.errors import (
    BadUserInput,
    BodyTooLarge,
    DomainError,
    Internal,
    RequestTimeout,
    ServiceUnavailable,
)
from web.refusals import Watched, send_error, values_of

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
        answer = Watched.around(send)
        try:
            await self.app(scope, receive, answer)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:
            # The server ends, and the time that it leaves to running requests is over.
            await answer.refuse(scope, ServiceUnavailable(), close=True)
            raise
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
        match = _HOST.fullmatch(b",".join(values_of(scope, b"host")).decode("latin-1").lower())
        return match is not None and (
            match[1] in self.exact or bool(self.endings and match[1].endswith(self.endings))
        )


class BodyLimit:
    """Counts what arrives; a declared length is refused before anything is read."""

    def __init__(self, app: ASGIApp, *, max_bytes: int, max_bytes_below: Mapping[str, int]) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.max_bytes_below = tuple(max_bytes_below.items())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self._limit(scope["path"])
        declared = b"".join(values_of(scope, b"content-length"))
        announced = int(declared[:MAX_DIGITS]) if declared.isdigit() else 0
        if announced > limit:
            # A small rest is read and dropped by the server, a big one ends with the connection.
            close = announced > self.max_bytes
            await send_error(scope, send, BodyTooLarge(limit), close=close)
            return
        answer, received = Watched.around(send), 0

        async def counted_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                await answer.refuse(scope, BodyTooLarge(limit), close=True)
                raise ClientDisconnect
            return message

        await self.app(scope, counted_receive, answer)

    def _limit(self, path: str) -> int:
        below = (most for start, most in self.max_bytes_below if path.startswith(start))
        return min((self.max_bytes, *below))


class Timeout:
    """Cancels the work. A response that has begun is cut off: it can no longer become an error.

    A client has `receive_seconds` for every piece of a body. Where files are transferred, only
    the time without progress counts, and routes and connections see to it.
    """

    def __init__(self, app: ASGIApp, *, seconds: float, receive_seconds: float) -> None:
        self.app = app
        self.seconds = seconds
        self.receive_seconds = receive_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(TRANSFERS):
            await self.app(scope, receive, send)
            return
        answer = Watched.around(send)
        limit = _Limit(receive, seconds=self.seconds, receive_seconds=self.receive_seconds)
        try:
            with limit:
                await self.app(scope, limit.receive, answer)
        except TimeoutError:
            if not limit.is_over:
                raise
            if limit.is_receiving:
                late = RequestTimeout("The body did not arrive in time.")
                await answer.refuse(scope, late, status=HTTPStatus.REQUEST_TIMEOUT, close=True)
                return
            log.warning("request_timed_out", timeout_seconds=self.seconds)
            await answer.refuse(scope, RequestTimeout(), close=True)


class _Limit:
    """The time of a request, brought forward while the next piece of its body is awaited.

    As `asyncio.timeout`, which takes a new timer for every change: deadlines only move back here,
    so that one timer looks again when it was too early. Raises TimeoutError.
    """

    def __init__(self, receive: Receive, *, seconds: float, receive_seconds: float) -> None:
        self.is_receiving = False
        self.is_over = False
        self._receive = receive
        self._receive_seconds = receive_seconds
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.time() + seconds
        self._deadline = self._end
        self._is_whole = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError
        self._task = task
        self._cancelling = task.cancelling()
        first = min(self._end, self._loop.time() + self._receive_seconds)
        self._timer = self._loop.call_at(first, self._look)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._timer.cancel()
        if not self.is_over:
            return
        is_ours = self._task.uncancel() <= self._cancelling
        if is_ours and kind is asyncio.CancelledError:
            raise TimeoutError

    def _look(self) -> None:
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._look)
            return
        self.is_over = True
        self._task.cancel()

    async def receive(self) -> Message:
        if self._is_whole:
            return await self._receive()
        self._deadline = min(self._end, self._loop.time() + self._receive_seconds)
        self.is_receiving = True
        message = await self._receive()
        self._deadline = self._end
        self.is_receiving = False
        self._is_whole = not message.get("more_body", False)
        return message
