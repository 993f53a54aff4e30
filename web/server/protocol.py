"""One connection: heads that are whole, small and in time; readers that read; a clean end."""

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import ClassVar, Protocol, cast
from urllib.parse import unquote

import httptools
import structlog
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from resilience.byte_bounded_cache import cached
from web.graphql.negotiation import HEADER_MAX_BYTES, HEADERS_MAX_BYTES
from web.headers import header_index
from web.server.protocol_errors import BAD_REQUEST, HEAD_TIMEOUT, TOO_LARGE, RawErrorResponse
from web.server.response_cycle import ResponseCycle

MAX_HEAD_BYTES = 32 << 10
MAX_HEADERS = 200
# Bytes that are on their way when a stop is decided arrive within this time.
LINGER_SECONDS = 0.5
# The time to notice a refusal for a client that is still sending.
DISCARD_SECONDS = 2.0
VERSIONS = ("1.0", "1.1")
CHUNKED = ("1.1", b"chunked")

log = structlog.get_logger(__name__)


class DrainState(Protocol):
    @property
    def draining(self) -> bool:
        """Whether answers are the last of their connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """What is expected of every client. `stall_seconds` is for those who do not read answers."""

    head_seconds: float
    stall_seconds: float
    drain: DrainState


class Stage(Enum):
    """What the next byte belongs to."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()


def protocol_factory(limits: ConnectionLimits) -> type["Connection"]:
    """What uvicorn makes for every client, given as `http`."""
    return type("Connection", (Connection,), {"limits": limits})


class Connection(HttpToolsProtocol):
    """Uvicorn times idle connections, the application bodies and work; the rest is timed here."""

    limits: ClassVar[ConnectionLimits]

    _stage = Stage.IDLE
    _head_bytes = 0
    # With what came before it in the same pieces.
    _max_head_bytes = 0
    _received_bytes = 0
    _parse_error = BAD_REQUEST
    _deadline: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _idle: asyncio.TimerHandle | None = None
    _idle_since = 0.0
    _is_discarding = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_deadline()
        if self._idle is not None:
            self._idle.cancel()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._stage is Stage.IDLE:
            # Blank lines are no sign of life.
            data = data.lstrip(b"\r\n")
        if self._is_discarding or not data:
            return
        stage, cycle = self._stage, self.cycle
        self._received_bytes = len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._stage is Stage.HEAD:
            self._max_head_bytes += len(data)
            if stage is not Stage.BODY and cycle is self.cycle:
                self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(TOO_LARGE)
                return
            self._start_deadline()
        elif self._stage is Stage.BODY and self.cycle.response_complete:
            # The rest of a body that nobody waits for.
            self._start_deadline()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._stage, self._head_bytes, self._max_head_bytes = Stage.HEAD, 0, 0

    def on_headers_complete(self) -> None:
        wrong = self._head_error()
        if wrong is not None:
            self._parse_error = wrong
            raise ValueError(wrong.status)
        self._begin_cycle()
        self._stop_deadline()
        self._stage = Stage.BODY
        # What comes as a header after the body must not look as if a proxy had written it.
        self.headers = deque(maxlen=0)  # type: ignore[assignment]

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._stop_deadline()
        self._stage = Stage.IDLE
        if not self._response_pending:
            self._begin_idle()

    def on_response_complete(self) -> None:
        """As uvicorn's, with one timer for a connection where that takes one for each answer."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self._start_write_timeout()
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        cycle = self.cycle
        if cycle.response_complete and cycle.more_body and not cycle.keep_alive:
            self._discard()
            return
        self._begin_idle()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_write_timeout()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def close_after_response(self) -> None:
        """The answer under way is the last one, unless its head is sent already."""
        if self._response_pending and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """Uvicorn's closes at once, also when a request is on its way."""
        if self._response_pending:
            self.cycle.keep_alive = False
        else:
            self.loop.call_later(LINGER_SECONDS, self._close_if_idle)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the parser's words
        self._refuse(self._parse_error)

    @property
    def _response_pending(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _begin_cycle(self) -> None:
        """As uvicorn's, which does not let its parts be replaced."""
        version = self.parser.get_http_version()
        self.scope["method"] = self.parser.get_method().decode("ascii")
        self.scope["http_version"] = version
        self.scope["path"], self.scope["raw_path"], self.scope["query_string"] = _split(self.url)
        before = self.cycle
        keep_alive = version != "1.0" and self.parser.should_keep_alive()
        self.cycle = cycle = ResponseCycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=keep_alive and not self.limits.drain.draining,
            on_response=self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def _head_error(self) -> RawErrorResponse | None:
        if len(self.headers) > MAX_HEADERS:
            return TOO_LARGE
        if self._max_head_bytes + self._received_bytes > MAX_HEAD_BYTES:
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > MAX_HEAD_BYTES:
                return TOO_LARGE
        version = self.parser.get_http_version()
        encodings = header_index(cast("Scope", self.scope)).get(b"transfer-encoding", ())
        if version not in VERSIONS or (
            encodings and (version, *[one.lower() for one in encodings]) != CHUNKED
        ):
            return BAD_REQUEST
        return None

    def _start_deadline(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.limits.head_seconds, self._on_head_timeout)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _start_write_timeout(self) -> None:
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(
                self.limits.stall_seconds, self.transport.abort
            )

    def _on_head_timeout(self) -> None:
        if self._stage is Stage.HEAD:
            self._refuse(HEAD_TIMEOUT)
        else:
            self.transport.close()

    def _discard(self) -> None:
        """Close in stages (RFC 9112, section 9.6): a reset would take the answer away."""
        self._is_discarding = True
        self.transport.write_eof()
        self._deadline = self.loop.call_later(DISCARD_SECONDS, self._end_discarding)

    def _end_discarding(self) -> None:
        self.transport.close()
        self._start_write_timeout()

    def _close_if_idle(self) -> None:
        if self._stage is not Stage.HEAD and not self._response_pending:
            self.transport.close()

    def _begin_idle(self) -> None:
        self._idle_since = self.loop.time()
        if self._idle is None:
            self._idle = self.loop.call_later(self.timeout_keep_alive, self._close_idle)

    def _close_idle(self) -> None:
        self._idle = None
        if self._response_pending or self._stage is Stage.HEAD or self._deadline is not None:
            # What is under way has a time of its own, and its end is the next beginning.
            return
        seconds = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if seconds > 0:
            self._idle = self.loop.call_later(seconds, self._close_idle)
        else:
            self.transport.close()
            self._start_write_timeout()

    def _refuse(self, refusal: RawErrorResponse) -> None:
        """Answer in the application's place, and close; answers under way are finished first."""
        if self._stage is not Stage.BODY and self._response_pending:
            self.cycle.keep_alive = False
            self.flow.pause_reading()
            return
        if self._stage is not Stage.BODY or not (self.cycle.response_started or self.pipeline):
            self.transport.write(refusal.encode())
        if self._response_pending:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        log.info("connection_refused", status=refusal.status)
        self.transport.close()


@cached(HEADERS_MAX_BYTES, max_entry_bytes=HEADER_MAX_BYTES)
def _split(url: bytes) -> tuple[str, bytes, bytes]:
    """Path, path as it came, query. Raises httptools' HttpParserInvalidURLError."""
    parts = httptools.parse_url(url)
    return unquote(parts.path.decode("ascii")), parts.path, parts.query or b""
