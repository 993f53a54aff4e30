"""asyncpg connections outside SQLAlchemy's pool, and detection of connections that are lost."""

import asyncio
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any

import asyncpg
from sqlalchemy import make_url

DEFAULT_SERVER_SETTINGS = {"application_name": "icct26-registration"}
CLOSE_TIMEOUT_SECONDS = 1.0
# Errors of asyncpg calls that say something about the connection or the server. uvloop raises
# RuntimeError for a transport that is closed.
CONNECTION_ERRORS = (
    OSError,
    RuntimeError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
_IS_WRITABLE = "SELECT 1 WHERE current_setting('transaction_read_only') = 'off'"

# TCP keep-alive: idle time before the first probe, time between probes, unanswered probes.
KEEPALIVE_IDLE_SECONDS = 5
KEEPALIVE_INTERVAL_SECONDS = 2
KEEPALIVE_COUNT = 3
# The connection ends when sent bytes are not acknowledged within this time.
USER_TIMEOUT_MS = 5_000
_TCP_OPTIONS = (
    ("TCP_KEEPIDLE", KEEPALIVE_IDLE_SECONDS),
    # macOS's name for TCP_KEEPIDLE.
    ("TCP_KEEPALIVE", KEEPALIVE_IDLE_SECONDS),
    ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_SECONDS),
    ("TCP_KEEPCNT", KEEPALIVE_COUNT),
    ("TCP_USER_TIMEOUT", USER_TIMEOUT_MS),
)

TIMER_STEPS = 20


async def connect(
    url: str,
    *,
    timeout_seconds: float,
    server_settings: Mapping[str, str] = DEFAULT_SERVER_SETTINGS,
    statement_cache_size: int = 0,
) -> asyncpg.Connection:
    """Open a connection to SQLAlchemy's `url`. Raises CONNECTION_ERRORS.

    Behind pgbouncer `statement_cache_size` has to be 0.
    """
    sqlalchemy_url = make_url(url)
    _, arguments = sqlalchemy_url.get_dialect()().create_connect_args(sqlalchemy_url)
    connection = await asyncpg.connect(
        **arguments,
        timeout=timeout_seconds,
        statement_cache_size=statement_cache_size,
        server_settings=dict(server_settings),
    )
    enable_keepalive(connection)
    return connection


async def close_connection(connection: asyncpg.Connection) -> None:
    """Close a connection cleanly if the server cooperates, else abruptly. Raises nothing."""
    with suppress(*CONNECTION_ERRORS):
        await connection.close(timeout=CLOSE_TIMEOUT_SECONDS)


async def check_connection(connection: asyncpg.Connection, *, timeout_seconds: float) -> bool:
    """Check that the connection answers in time and its server accepts writes; else terminate it.

    The timeout excludes time in which the event loop of this process was blocked.
    """
    # Terminates instead of cancelling the query: cancelling needs a server that answers.
    timer = LoopTimer(timeout_seconds, connection.terminate)
    try:
        if await connection.fetchval(_IS_WRITABLE):
            return True
    except CONNECTION_ERRORS:
        pass
    finally:
        timer.cancel()
    connection.terminate()
    return False


def enable_keepalive(connection: Any) -> None:
    """Set TCP keep-alive and user timeout of an asyncpg connection, as far as the OS has them.

    They end connections whose peer has disappeared without closing them. Unix sockets need neither:
    their peer is on this machine.
    """
    client_socket = connection._transport.get_extra_info("socket")  # noqa: SLF001  # no public way
    if client_socket is None or client_socket.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    client_socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _TCP_OPTIONS:
        option = getattr(socket, name, None)
        if option is not None:
            client_socket.setsockopt(socket.IPPROTO_TCP, option, value)


class LoopTimer:
    """Call `on_expire`, if any, after `seconds` in which the event loop was running.

    The time is divided into TIMER_STEPS, each a timer of its own, so that a blocked loop uses up
    one step at most: its connections had no chance to read the server's answer meanwhile.
    `longest_stall_seconds` is the longest delay of a step.
    """

    def __init__(self, seconds: float, on_expire: Callable[[], None] | None = None) -> None:
        self.longest_stall_seconds = 0.0
        self._step_seconds = seconds / TIMER_STEPS
        self._on_expire = on_expire
        self._remaining_steps = TIMER_STEPS
        self._schedule_step()

    def cancel(self) -> None:
        self._handle.cancel()

    def _schedule_step(self) -> None:
        self._due_at = monotonic() + self._step_seconds
        self._handle = asyncio.get_running_loop().call_later(self._step_seconds, self._end_step)

    def _end_step(self) -> None:
        self.longest_stall_seconds = max(self.longest_stall_seconds, monotonic() - self._due_at)
        self._remaining_steps -= 1
        if self._remaining_steps:
            self._schedule_step()
        elif self._on_expire is not None:
            self._on_expire()
