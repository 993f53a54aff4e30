"""What is looked at before a request reaches the application."""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from resilience.byte_bounded_cache import cached
from web.errors import Headers
from web.graphql.negotiation import HEADER_MAX_BYTES, HEADERS_MAX_BYTES

# Probes of the platform call by address, not by name; the answers depend on nothing they send.
PROBES = ("/livez", "/readyz")
MAX_DIGITS = 18
TICK_SECONDS = 0.05
STREAMING_PREFIXES = ("/uploads/", "/files/", "/exports/")

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+?)\.?(:[0-9]{1,5})?")


class TrustedHosts:
    """`*.example.org` stands for every name below example.org."""

    def __init__(self, allowed_hosts: Sequence[str]) -> None:
        names = [host.lower() for host in allowed_hosts]
        self._exact = frozenset(name for name in names if not name.startswith("*."))
        self._endings = tuple(name[1:] for name in names if name.startswith("*."))
        # The same few names are asked for again and again.
        keep = cached(HEADERS_MAX_BYTES, max_entry_bytes=HEADER_MAX_BYTES)
        self._trusts = keep(self._is_trusted)

    def serves(self, headers: Headers, path: str) -> bool:
        return self._trusts(headers.get(b"host", ())) or path in PROBES

    def _is_trusted(self, given: tuple[bytes, ...]) -> bool:
        match = _HOST.fullmatch(b",".join(given).decode("latin-1").lower())
        return match is not None and (
            match[1] in self._exact or bool(self._endings and match[1].endswith(self._endings))
        )


class BodyLimits:
    """How large bodies may be: `max_bytes` anywhere, less below some paths."""

    def __init__(self, *, max_bytes: int, max_bytes_below: Mapping[str, int]) -> None:
        self.max_bytes = max_bytes
        self._below = tuple(max_bytes_below.items())

    def of(self, path: str) -> int:
        limit = self.max_bytes
        for start, most in self._below:
            if most < limit and path.startswith(start):
                limit = most
        return limit


def content_length(headers: Headers) -> int:
    """The declared length of the body, 0 without one."""
    declared = b"".join(headers.get(b"content-length", ()))
    return int(declared[:MAX_DIGITS]) if declared.isdigit() else 0


class Deadline:
    """Work that has an end, brought forward while the next piece of a body is awaited.

    `is_late` says of work that was cancelled that its time was over, and nothing else.
    """

    __slots__ = (
        "cancelling",
        "end",
        "ends_at",
        "is_cut",
        "is_late",
        "is_received",
        "is_receiving",
        "task",
    )

    task: "asyncio.Task[Any]"
    cancelling: int
    end: float
    ends_at: float
    # All of these False, until something else is known.
    is_cut: bool
    is_late: bool
    is_received: bool
    is_receiving: bool


class TimeoutScheduler:
    """One timer for all requests, which looks twenty times a second for those that are late.

    As `asyncio.timeout`, which takes a timer for each and another for every change.
    """

    def __init__(self, *, seconds: float, receive_seconds: float) -> None:
        self.seconds = seconds
        self.receive_seconds = receive_seconds
        self._running: set[Deadline] = set()
        self._looked_at_by: asyncio.AbstractEventLoop | None = None

    def begin(self, one: Deadline) -> None:
        """What the current task does from here on."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError
        one.task, one.cancelling = task, task.cancelling()
        one.end = one.ends_at = time.monotonic() + self.seconds
        self._running.add(one)
        if self._looked_at_by is not loop:
            self._looked_at_by = loop
            loop.call_later(TICK_SECONDS, self._look, loop)

    def end(self, one: Deadline) -> None:
        self._running.discard(one)
        if one.is_cut:
            one.is_late = one.task.uncancel() <= one.cancelling

    def start_body_wait(self, one: Deadline) -> None:
        one.ends_at = min(one.end, time.monotonic() + self.receive_seconds)
        one.is_receiving = True

    def take_piece(self, one: Deadline, *, is_last: bool) -> None:
        one.ends_at = one.end
        one.is_receiving, one.is_received = False, is_last

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        try:
            for one in [one for one in self._running if one.ends_at <= now]:
                self._running.discard(one)
                one.is_cut = True
                one.task.cancel()
        finally:
            # An error is the loop's to log; it must not be the end of all deadlines.
            if self._running:
                loop.call_later(TICK_SECONDS, self._look, loop)
            else:
                self._looked_at_by = None
