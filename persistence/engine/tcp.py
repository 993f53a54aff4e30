"""Options of TCP sockets that end connections whose other side has gone in silence."""

import socket
from typing import Any

# Seconds of silence before the first probe, between two, and how many may stay without an answer.
KEEPALIVE_IDLE_SECONDS = 5
KEEPALIVE_INTERVAL_SECONDS = 2
KEEPALIVE_COUNT = 3
# Bytes that were sent are acknowledged within this time, or the connection is over.
USER_TIMEOUT_MILLISECONDS = 5_000

_OPTIONS = (
    ("TCP_KEEPIDLE", KEEPALIVE_IDLE_SECONDS),
    # The name that macOS has for it.
    ("TCP_KEEPALIVE", KEEPALIVE_IDLE_SECONDS),
    ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_SECONDS),
    ("TCP_KEEPCNT", KEEPALIVE_COUNT),
    ("TCP_USER_TIMEOUT", USER_TIMEOUT_MILLISECONDS),
)


def watch_socket(connection: Any) -> None:
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
