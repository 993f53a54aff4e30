"""The HTTP protocol of the server: limits for size and time of heads, write timeouts, draining.

A head is the request line with the headers.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, ClassVar, cast
from urllib.parse import unquote

import httptools
import structlog
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from resilience.byte_bounded_cache import cached
from web.headers import HEADER_CACHE_BYTES, HEADER_CACHE_ENTRY_BYTES, header_index
from web.server.protocol_errors import BAD_REQUEST, HEAD_TIMEOUT, TOO_LARGE, RawErrorResponse
from web.server.response_cycle import ResponseCycle

if TYPE_CHECKING:
    from web.server.graceful_shutdown import ShutdownState

MAX_HEAD_BYTES = 32 << 10
MAX_HEADERS = 200
# At shutdown an idle connection stays open this long, for a request that is already on its way.
LINGER_SECONDS = 0.5
# A client that is still sending its body has this long to read an early response.
DISCARD_SECONDS = 2.0
HTTP_VERSIONS = ("1.0", "1.1")
# The only accepted transfer encoding, and the version that may use it.
CHUNKED = ("1.1", b"chunked")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Time limits of a connection.

    `head_seconds` is the time for a client to send a complete head, `stall_seconds` the time for
    it to read what has been written.
    """

    head_seconds: float
    stall_seconds: float
    shutdown: "ShutdownState"


class Stage(Enum):
    """The part of a request that the next byte belongs to. IDLE is between two requests."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()


def protocol_factory(limits: ConnectionLimits) -> type["Connection"]:
    """Return the protocol class with its limits, for uvicorn's option `http`."""
    return type("Connection", (Connection,), {"limits": limits})


class Connection(HttpToolsProtocol):
    """Uvicorn's protocol with limits for heads and slow readers, and a graceful end.

    The application limits the time for bodies and for its own work.
    """

    limits: ClassVar[ConnectionLimits]

    _stage = Stage.IDLE
    # Bounds of the size of the head that is arriving. A chunk with the end of the previous request
    # and the start of the head counts in the upper bound only.
    _min_head_bytes = 0
    _max_head_bytes = 0
    _received_bytes = 0
    _parse_error = BAD_REQUEST
    # Runs while a head, or the rest of a body that nobody reads, is awaited.
    _read_timer: asyncio.TimerHandle | None = None
    # Runs while the client does not read.
    _write_timer: asyncio.TimerHandle | None = None
    # Runs between two requests.
    _idle_timer: asyncio.TimerHandle | None = None
    _idle_since = 0.0
    _is_discarding = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_read_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_read_timer()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._stage is Stage.IDLE:
            # Blank lines before a request do not extend the time for its head.
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
                self._min_head_bytes += len(data)
            if self._min_head_bytes > MAX_HEAD_BYTES:
                self._refuse(TOO_LARGE)
                return
            self._start_read_timer()
        elif self._stage is Stage.BODY and self.cycle.response_complete:
            # The rest of a body whose response is complete.
            self._start_read_timer()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._stage, self._min_head_bytes, self._max_head_bytes = Stage.HEAD, 0, 0

    def on_headers_complete(self) -> None:
        error = self._head_error()
        if error is not None:
            self._parse_error = error
            raise ValueError(error.status)
        self._begin_cycle()
        self._stop_read_timer()
        self._stage = Stage.BODY
        # Drop trailers: they must not look like headers that a proxy has set.
        self.headers = deque(maxlen=0)  # type: ignore[assignment]

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._stop_read_timer()
        self._stage = Stage.IDLE
        if not self._response_pending:
            self._begin_idle()

    def on_response_complete(self) -> None:
        """Do what uvicorn does, with one idle timer for each connection, not for each response."""
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
        """Close the connection after the pending response, unless its head has been sent."""
        if self._response_pending and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """Close after the pending response, or LINGER_SECONDS from now if there is none.

        Uvicorn closes at once, also when a request is on its way.
        """
        if self._response_pending:
            self.cycle.keep_alive = False
        else:
            self.loop.call_later(LINGER_SECONDS, self._close_if_idle)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the parser's message
        self._refuse(self._parse_error)

    @property
    def _response_pending(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _begin_cycle(self) -> None:
        """Do what uvicorn does in `on_headers_complete`, with our `ResponseCycle`."""
        version = self.parser.get_http_version()
        self.scope["method"] = self.parser.get_method().decode("ascii")
        self.scope["http_version"] = version
        self.scope["path"], self.scope["raw_path"], self.scope["query_string"] = _split(self.url)
        previous = self.cycle
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
            keep_alive=keep_alive and not self.limits.shutdown.draining,
            on_response=self.on_response_complete,
        )
        if previous is None or previous.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def _head_error(self) -> RawErrorResponse | None:
        """Return the error of a head that is too large or not valid; None for a valid head."""
        if len(self.headers) > MAX_HEADERS:
            return TOO_LARGE
        if self._max_head_bytes + self._received_bytes > MAX_HEAD_BYTES:
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > MAX_HEAD_BYTES:
                return TOO_LARGE
        version = self.parser.get_http_version()
        encodings = header_index(cast("Scope", self.scope)).get(b"transfer-encoding", ())
        if version not in HTTP_VERSIONS or (
            encodings and (version, *[encoding.lower() for encoding in encodings]) != CHUNKED
        ):
            return BAD_REQUEST
        return None

    def _start_read_timer(self) -> None:
        if self._read_timer is None:
            self._read_timer = self.loop.call_later(self.limits.head_seconds, self._on_head_timeout)

    def _stop_read_timer(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

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
        """Close in stages (RFC 9112, section 9.6): a reset could destroy the response."""
        self._is_discarding = True
        self.transport.write_eof()
        self._read_timer = self.loop.call_later(DISCARD_SECONDS, self._end_discarding)

    def _end_discarding(self) -> None:
        self.transport.close()
        self._start_write_timeout()

    def _close_if_idle(self) -> None:
        if self._stage is not Stage.HEAD and not self._response_pending:
            self.transport.close()

    def _begin_idle(self) -> None:
        self._idle_since = self.loop.time()
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._close_idle)

    def _close_idle(self) -> None:
        self._idle_timer = None
        if self._response_pending or self._stage is Stage.HEAD or self._read_timer is not None:
            # A request is in progress and has its own time limit. Its end starts the timer again.
            return
        seconds = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if seconds > 0:
            self._idle_timer = self.loop.call_later(seconds, self._close_idle)
        else:
            self.transport.close()
            self._start_write_timeout()

    def _refuse(self, refusal: RawErrorResponse) -> None:
        """Send an error response and close. Pending responses are finished first."""
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


@cached(HEADER_CACHE_BYTES, max_entry_bytes=HEADER_CACHE_ENTRY_BYTES)
def _split(url: bytes) -> tuple[str, bytes, bytes]:
    """Return the decoded path, the raw path and the query string.

    Raises httptools.HttpParserInvalidURLError.
    """
    parts = httptools.parse_url(url)
    return unquote(parts.path.decode("ascii")), parts.path, parts.query or b""
