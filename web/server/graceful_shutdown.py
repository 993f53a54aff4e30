"""Graceful shutdown: answer every request on an accepted connection within one deadline."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import FrameType

import structlog
import uvicorn

from resilience.shutdown_deadline import ForcedExit
from web.server.protocol import Connection

# The notice period is checked for a forced exit this often.
TICK_SECONDS = 0.1
# Added to the shutdown deadline, for cancelled work to end before the process is killed.
FORCED_EXIT_MARGIN_SECONDS = 4.0

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class ShutdownState:
    """The progress of the shutdown, which `/readyz` and `Connection: close` headers report.

    `draining` is true from the signal on. `stopping` is set once the server accepts no more
    connections. `ends_at` is the deadline on the clock of `time.monotonic`; None before the signal.
    """

    draining: bool = False
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    ends_at: float | None = None

    def begin(self, seconds: float) -> None:
        """Start draining. The first call sets the deadline, `seconds` from now."""
        self.draining = True
        if self.ends_at is None:
            self.ends_at = time.monotonic() + seconds

    def seconds_left(self, otherwise: float) -> float:
        """Return the seconds until the deadline, at least 0; `otherwise` without a deadline."""
        return otherwise if self.ends_at is None else max(0.0, self.ends_at - time.monotonic())


class DrainingServer(uvicorn.Server):
    """A uvicorn server that drains before it stops.

    For `notice_seconds` after the signal it accepts connections while `/readyz` answers 503, so
    that load balancers send new requests elsewhere. Then it stops listening and waits for the
    requests in progress.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        drain: ShutdownState,
        *,
        notice_seconds: float,
        forced_exit: ForcedExit | None = None,
    ) -> None:
        super().__init__(config)
        self._drain = drain
        self._notice_seconds = notice_seconds
        self._forced_exit = forced_exit or ForcedExit(lambda: None)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until SIGINT or SIGTERM, then stop within the shutdown deadline."""
        try:
            super().run(sockets)
        finally:
            self._forced_exit.cancel()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        await super().serve(sockets)
        # `asyncio.run` waits for all threads of the default executor. A new executor has none, so
        # that a blocked thread does not delay the exit.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Start the shutdown.

        Uvicorn's method would raise the signal again at its end, before the database is stopped.
        """
        self.force_exit = self.force_exit or (self.should_exit and sig == signal.SIGINT)
        self.should_exit = True
        self._drain.begin(self._notice_seconds + (self.config.timeout_graceful_shutdown or 0))
        self._forced_exit.begin(self._drain.seconds_left(0) + FORCED_EXIT_MARGIN_SECONDS)
        for connection in list(self.server_state.connections):
            if isinstance(connection, Connection):
                connection.close_after_response()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for _ in range(round(self._notice_seconds / TICK_SECONDS)):
            if self.force_exit:
                break
            await asyncio.sleep(TICK_SECONDS)
        self._drain.stopping.set()
        try:
            await self._stop_listening()
        except OSError as error:
            # Too many open files, for one. The connections in the queue are reset.
            log.warning("queue_not_accepted", error=error.strerror)
        await super().shutdown(sockets)

    async def _stop_listening(self) -> None:
        """Accept the connections that wait in the system's queue, then close the listening sockets.

        Closing a listening socket resets the connections in its queue. A connection that arrives
        between the last accept and the close is therefore reset; nothing on it has been read.
        """
        # Copies keep listening after the loop has closed its own sockets.
        listeners = [
            socket.socket(fileno=os.dup(listener.fileno()))
            for server in self.servers
            for listener in server.sockets
        ]
        for server in self.servers:
            server.close()
        # The loop stops accepting in its next iteration.
        await asyncio.sleep(0)
        for listener in listeners:
            with listener:
                connections = list(_accept_waiting(listener))
            for connection in connections:
                await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


def _accept_waiting(listener: socket.socket) -> Iterator[socket.socket]:
    listener.setblocking(False)
    while True:
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return
        except ConnectionAbortedError:
            continue
        except OSError as error:
            log.warning("queue_not_accepted", error=error.strerror)
            return
        connection.setblocking(False)
        yield connection
