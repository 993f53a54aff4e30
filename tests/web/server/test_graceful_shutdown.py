"""Shutdown with connections that cannot be accepted."""

import asyncio
import os
import resource
import socket
from contextlib import asynccontextmanager, closing, contextmanager

import pytest
import uvicorn
from starlette.applications import Starlette
from structlog.testing import capture_logs

from tests.server_processes import wait_until
from web.server.graceful_shutdown import DrainingServer, ShutdownState, _accept_waiting

REFUSED = {"event": "queue_not_accepted", "log_level": "warning", "error": "Too many open files"}


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as opened:
        yield opened


@contextmanager
def no_free_descriptor():
    """Let every system call fail that opens a file or a connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class AbortingListener(socket.socket):
    """A listening socket from whose queue the first connection has disappeared."""

    has_aborted = False

    def accept(self):
        if not self.has_aborted:
            self.has_aborted = True
            raise ConnectionAbortedError
        return super().accept()


def test_connection_that_was_aborted_in_the_queue_is_skipped(listener):
    with (
        AbortingListener(fileno=os.dup(listener.fileno())) as aborting,
        socket.create_connection(listener.getsockname()) as client,
    ):
        [accepted] = _accept_waiting(aborting)
        with closing(accepted):
            assert accepted.getpeername() == client.getsockname()
            assert aborting.has_aborted


def test_connections_wait_on_while_no_file_can_be_opened(listener):
    with socket.create_connection(listener.getsockname()) as client:
        with capture_logs() as logs, no_free_descriptor():
            assert list(_accept_waiting(listener)) == []
        assert logs == [REFUSED]

        [accepted] = _accept_waiting(listener)
        with closing(accepted):
            assert accepted.getpeername() == client.getsockname()


async def test_server_stops_in_order_while_no_file_can_be_opened(listener):
    events = []

    @asynccontextmanager
    async def lifespan(_app):
        events.append("started")
        yield
        events.append("stopped")

    drain = ShutdownState()
    config = uvicorn.Config(Starlette(lifespan=lifespan), log_config=None, ws="none")
    server = DrainingServer(config, drain, notice_seconds=0)
    serving = asyncio.create_task(server.serve([listener]))
    await wait_until(lambda: server.started, "the server has started")

    with capture_logs() as logs, no_free_descriptor():
        server.should_exit = True
        await serving

    assert logs == [REFUSED]
    assert events == ["started", "stopped"]
    assert drain.stopping.is_set()
    assert listener.fileno() == -1
