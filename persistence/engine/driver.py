"""Connections outside SQLAlchemy's pool: of asyncpg itself, with nothing around them."""

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
# RuntimeError is uvloop's, of a transport that is closed.
CONNECTION_ERRORS = (
    OSError,
    RuntimeError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
_IS_WRITABLE = "SELECT 1 WHERE current_setting('transaction_read_only') = 'off'"


async def connect(
    url: str,
    *,
    timeout_seconds: float,
    server_settings: Mapping[str, str] = DEFAULT_SERVER_SETTINGS,
    statement_cache_size: int = 0,
) -> asyncpg.Connection:
    """A connection that keeps so many statements prepared: none behind pgbouncer. Raises LOST."""
    place = make_url(url)
    _, arguments = place.get_dialect()().create_connect_args(place)
    connection = await asyncpg.connect(
        **arguments,
        timeout=timeout_seconds,
        statement_cache_size=statement_cache_size,
        server_settings=dict(server_settings),
    )
    enable_keepalive(connection)
    return connection


async def close_connection(connection: asyncpg.Connection) -> None:
    """Close a connection, with a goodbye where the server takes it."""
    with suppress(*CONNECTION_ERRORS):
        await connection.close(timeout=CLOSE_TIMEOUT_SECONDS)


async def check_connection(connection: asyncpg.Connection, *, timeout_seconds: float) -> bool:
    """Whether the connection answers in time and its server takes writes; closed where not.

    A stall of this process is no silence of the server.
    """
    # Closes the connection instead of cancelling: for that, the server would have to answer.
    ending = LoopTimer(timeout_seconds, connection.terminate)
    try:
        if await connection.fetchval(_IS_WRITABLE):
            return True
    except CONNECTION_ERRORS:
        pass
    finally:
        ending.cancel()
    connection.terminate()
    return False


# Seconds of silence before the first probe, between two, and how many may stay without an answer.
KEEPALIVE_IDLE_SECONDS = 5
KEEPALIVE_INTERVAL_SECONDS = 2
KEEPALIVE_COUNT = 3
# Bytes that were sent are acknowledged within this time, or the connection is over.
USER_TIMEOUT_MS = 5_000

_OPTIONS = (
    ("TCP_KEEPIDLE", KEEPALIVE_IDLE_SECONDS),
    # The name that macOS has for it.
    ("TCP_KEEPALIVE", KEEPALIVE_IDLE_SECONDS),
    ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_SECONDS),
    ("TCP_KEEPCNT", KEEPALIVE_COUNT),
    ("TCP_USER_TIMEOUT", USER_TIMEOUT_MS),
)


def enable_keepalive(connection: Any) -> None:
    """Set keep-alive and user timeout on a connection of asyncpg, as far as the system has them.

    A Unix socket needs none: its other side is on this machine.
    """
    opened = connection._transport.get_extra_info("socket")  # noqa: SLF001  # no public way
    if opened is None or opened.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS:
        option = getattr(socket, name, None)
        if option is not None:
            opened.setsockopt(socket.IPPROTO_TCP, option, value)


TIMER_STEPS = 20


class LoopTimer:
    """Calls `on_end` once after so many seconds, of which a stall of the loop counts as one step.

    `longest_stall` is in seconds.
    """

    def __init__(self, seconds: float, on_end: Callable[[], None]) -> None:
        self.longest_stall_seconds = 0.0
        self._step = seconds / TIMER_STEPS
        self._on_end = on_end
        self._left = TIMER_STEPS
        self._wait()

    def cancel(self) -> None:
        self._handle.cancel()

    def _wait(self) -> None:
        self._due = monotonic() + self._step
        self._handle = asyncio.get_running_loop().call_later(self._step, self._tick)

    def _tick(self) -> None:
        self.longest_stall_seconds = max(self.longest_stall_seconds, monotonic() - self._due)
        self._left -= 1
        if self._left:
            self._wait()
        else:
            self._on_end()
