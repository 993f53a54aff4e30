"""What is looked at before a request reaches the application."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from starlette.types import Message, Receive, Scope

from web.refusals import values_of

# Probes of the platform call by address, not by name; the answers depend on nothing they send.
PROBES = ("/livez", "/readyz")
MAX_DIGITS = 18
HOSTS_KEPT = 256
TICK_SECONDS = 0.05
TRANSFERS = ("/uploads/", "/files/", "/exports/")

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+?)\.?(:[0-9]{1,5})?")


class TrustedHosts:
    """`*.example.org` stands for every name below example.org."""

    def __init__(self, allowed_hosts: Sequence[str]) -> None:
        names = [host.lower() for host in allowed_hosts]
        self._exact = frozenset(name for name in names if not name.startswith("*."))
        self._endings = tuple(name[1:] for name in names if name.startswith("*."))
        # The same few names are asked for again and again.
        self._trusts = lru_cache(maxsize=HOSTS_KEPT)(self._is_trusted)

    def serves(self, scope: Scope) -> bool:
        return self._trusts(values_of(scope, b"host")) or scope["path"] in PROBES

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


def announced_bytes(scope: Scope) -> int:
    """The declared length of the body, 0 without one."""
    declared = b"".join(values_of(scope, b"content-length"))
    return int(declared[:MAX_DIGITS]) if declared.isdigit() else 0


class Deadlines:
    """One timer for all requests, which looks twenty times a second for those that are late.

    As `asyncio.timeout`, which takes a timer for each and another for every change.
    """

    def __init__(self, *, seconds: float, receive_seconds: float) -> None:
        self.seconds = seconds
        self.receive_seconds = receive_seconds
        self._running: set[Deadline] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def add(self, one: "Deadline", loop: asyncio.AbstractEventLoop) -> None:
        self._running.add(one)
        if self._loop is not loop:
            self._loop = loop
            loop.call_later(TICK_SECONDS, self._look, loop)

    def remove(self, one: "Deadline") -> None:
        self._running.discard(one)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for one in [one for one in self._running if one.ends_at <= now]:
            self._running.discard(one)
            one.end()
        if self._running:
            loop.call_later(TICK_SECONDS, self._look, loop)
        else:
            self._loop = None


class Deadline:
    """The time of a request, brought forward while the next piece of its body is awaited.

    Raises TimeoutError, with `is_over`.
    """

    __slots__ = (
        "_cancelling",
        "_end",
        "_is_whole",
        "_loop",
        "_others",
        "_receive",
        "_task",
        "ends_at",
        "is_over",
        "is_receiving",
    )

    def __init__(self, others: Deadlines, receive: Receive) -> None:
        self.is_receiving = False
        self.is_over = False
        self._others = others
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._end = self.ends_at = self._loop.time() + others.seconds
        self._is_whole = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError
        self._task = task
        self._cancelling = task.cancelling()
        self._others.add(self, self._loop)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._others.remove(self)
        if not self.is_over:
            return
        is_ours = self._task.uncancel() <= self._cancelling
        if is_ours and kind is asyncio.CancelledError:
            raise TimeoutError

    def end(self) -> None:
        self.is_over = True
        self._task.cancel()

    async def receive(self) -> Message:
        if self._is_whole:
            return await self._receive()
        self.ends_at = min(self._end, self._loop.time() + self._others.receive_seconds)
        self.is_receiving = True
        message = await self._receive()
        self.ends_at = self._end
        self.is_receiving = False
        self._is_whole = not message.get("more_body", False)
        return message
