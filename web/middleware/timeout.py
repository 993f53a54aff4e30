"""Limit the time that a request takes."""

import asyncio
import time
from http import HTTPStatus
from typing import Any, Self

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.errors.exceptions import RequestTimeout
from web.errors import RequestAborted
from web.routes import STREAMING_PREFIXES

TICK_SECONDS = 0.05

log = structlog.get_logger(__name__)


class Timeout:
    """Cancel requests after `seconds`, or when a part of the body takes over `receive_seconds`.

    Raises RequestAborted: 408 while the body is awaited, else 504.
    """

    def __init__(self, app: ASGIApp, *, seconds: float, receive_seconds: float) -> None:
        self.app = app
        self._seconds = seconds
        self._receive_seconds = receive_seconds
        self._timer = DeadlineTimer()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(STREAMING_PREFIXES):
            await self.app(scope, receive, send)
            return
        with Deadline(self._timer, receive, self._seconds, self._receive_seconds) as deadline:
            await self.app(scope, deadline.receive, send)


class Deadline:
    """A context with a time limit, as `asyncio.timeout`; shorter during a call of `receive`.

    Leaving it raises RequestAborted in place of a CancelledError that the limit has caused.
    """

    __slots__ = (
        "_cancelling",
        "_end",
        "_is_body_complete",
        "_is_receiving",
        "_receive",
        "_receive_seconds",
        "_seconds",
        "_task",
        "_timer",
        "expires_at",
        "is_expired",
    )

    def __init__(
        self, timer: "DeadlineTimer", receive: Receive, seconds: float, receive_seconds: float
    ) -> None:
        self._timer = timer
        self._receive = receive
        self._seconds = seconds
        self._receive_seconds = receive_seconds
        self._is_body_complete = self._is_receiving = self.is_expired = False

    def __enter__(self) -> Self:
        self._task = self._timer.current_task()
        self._cancelling = self._task.cancelling()
        self._end = self.expires_at = time.monotonic() + self._seconds
        self._timer.add(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._timer.discard(self)
        if not self.is_expired:
            return
        # The task may have been cancelled by the server as well: then it has to end.
        is_cause = self._task.uncancel() <= self._cancelling
        if kind is asyncio.CancelledError and is_cause:
            if self._is_receiving:
                error = RequestTimeout("The body did not arrive in time.")
                raise RequestAborted(error, status=HTTPStatus.REQUEST_TIMEOUT)
            log.warning("request_timed_out", timeout_seconds=self._seconds)
            raise RequestAborted(RequestTimeout())

    async def receive(self) -> Message:
        if self._is_body_complete:
            # Waiting for the client to leave is part of the work.
            return await self._receive()
        self.expires_at = min(self._end, time.monotonic() + self._receive_seconds)
        self._is_receiving = True
        message = await self._receive()
        self._is_receiving = False
        self.expires_at = self._end
        self._is_body_complete = not message.get("more_body", False)
        return message

    def expire(self) -> None:
        self.is_expired = True
        self._task.cancel()


class DeadlineTimer:
    """One timer for all deadlines, which looks for expired ones every TICK_SECONDS.

    `asyncio.timeout` takes a timer for each deadline and another for each change of it.
    """

    def __init__(self) -> None:
        self._deadlines: set[Deadline] = set()
        self._ticking_loop: asyncio.AbstractEventLoop | None = None

    def current_task(self) -> "asyncio.Task[Any]":
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("A deadline needs a task.")
        return task

    def add(self, deadline: Deadline) -> None:
        self._deadlines.add(deadline)
        loop = asyncio.get_running_loop()
        if self._ticking_loop is not loop:
            self._ticking_loop = loop
            loop.call_later(TICK_SECONDS, self._tick, loop)

    def discard(self, deadline: Deadline) -> None:
        self._deadlines.discard(deadline)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        try:
            for deadline in [each for each in self._deadlines if each.expires_at <= now]:
                self._deadlines.discard(deadline)
                deadline.expire()
        finally:
            # The loop logs an error, which must not be the end of all deadlines.
            if self._deadlines:
                loop.call_later(TICK_SECONDS, self._tick, loop)
            else:
                self._ticking_loop = None
