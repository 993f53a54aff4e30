"""Answer errors with the error envelope."""

import asyncio

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.errors.base import DomainError
from domain.errors.exceptions import Internal, ServiceUnavailable
from web.errors import RequestAborted, error_response, negotiated_error_type
from web.headers import content_length

log = structlog.get_logger(__name__)


class ErrorEnvelope:
    """Answer every exception of the application; log unexpected ones with their traceback.

    A response whose body has begun cannot become an error: the server cuts it off.

    After an error, the connection closes if the request announced a body of more than
    `max_unread_bytes`: the server reads and drops a shorter one.
    """

    def __init__(self, app: ASGIApp, *, max_unread_bytes: int) -> None:
        self.app = app
        self._max_unread_bytes = max_unread_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        response = DelayedStart(send)
        try:
            await self.app(scope, receive, response.send)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:
            # The server stops, and the grace period of running requests is over.
            if not response.is_started:
                await self._answer(RequestAborted(ServiceUnavailable()), scope, receive, send)
            raise
        except Exception as error:
            if not isinstance(error, DomainError | RequestAborted):
                log.exception("unexpected_exception")
            if not response.is_started:
                await self._answer(error, scope, receive, send)

    async def _answer(self, error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
        status, close = None, (content_length(scope) or 0) > self._max_unread_bytes
        if isinstance(error, RequestAborted):
            status, close, error = error.status, True, error.error
        response = error_response(
            error if isinstance(error, DomainError) else Internal(),
            status=status,
            media_type=negotiated_error_type(scope),
            close=close,
        )
        await response(scope, receive, send)


class DelayedStart:
    """Delay the start of a response until its body begins, so that errors between can be answered.

    `is_started` tells whether anything was sent.
    """

    __slots__ = ("_send", "_start", "is_started")

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self.is_started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and not self.is_started:
            self._start = message
            return
        if self._start is not None:
            start, self._start, self.is_started = self._start, None, True
            await self._send(start)
        await self._send(message)
