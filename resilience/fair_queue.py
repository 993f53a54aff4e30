"""Fair turns: work that few may do at once, shared out between clients round-robin."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from domain.errors.exceptions import ServiceUnavailable

RETRY_AFTER_SECONDS = 10


class Turns:
    """At most `at_once` turns at a time, `per_client` of them for the same client.

    A client with many waiting turns gets one for each of every other client. At most `waiting`
    wait; beyond that the newest of the client with the longest line is refused, as is one that has
    waited for `patience_seconds`; None is no end. For one event loop.
    """

    def __init__(
        self,
        *,
        at_once: int,
        per_client: int,
        waiting: int,
        busy: str,
        patience_seconds: float | None = None,
    ) -> None:
        """`busy` is the message of a refusal, such as `Many files are being checked.`."""
        self._free = at_once
        self._per_client = per_client
        self._limit = waiting
        self._busy = busy
        self._patience_seconds = patience_seconds
        self._running: Counter[str] = Counter()
        self._lines: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @property
    def running(self) -> int:
        return self._running.total()

    @property
    def waiting(self) -> int:
        return sum(map(len, self._lines.values()))

    @asynccontextmanager
    async def turn(self, client: str) -> AsyncGenerator[None]:
        """Raises ServiceUnavailable."""
        await self._enter(client)
        try:
            yield
        finally:
            self._leave(client)

    async def _enter(self, client: str) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(client, deque()).append(place)
        self._grant()
        self._shed()
        try:
            async with asyncio.timeout(self._patience_seconds):
                await self._reach(client, place)
        except TimeoutError as error:
            raise self._refusal() from error

    async def _reach(self, client: str, place: asyncio.Future[None]) -> None:
        """Wait for the turn; a place that nobody waits for any more is given back."""
        try:
            await place
        except asyncio.CancelledError:
            if place.cancelled():
                self._forget(client, place)
            elif place.exception() is None:
                self._leave(client)
            raise

    def _leave(self, client: str) -> None:
        self._running[client] -= 1
        if self._running[client] == 0:
            del self._running[client]
        self._free += 1
        self._grant()

    def _grant(self) -> None:
        while self._free and (client := self._next()) is not None:
            place = self._lines[client].popleft()
            self._lines.move_to_end(client)
            if not self._lines[client]:
                del self._lines[client]
            if not place.done():
                self._free -= 1
                self._running[client] += 1
                place.set_result(None)

    def _next(self) -> str | None:
        """The client that has waited longest for a turn it may have."""
        return next((one for one in self._lines if self._running[one] < self._per_client), None)

    def _shed(self) -> None:
        if self.waiting > self._limit:
            client = max(self._lines, key=lambda one: len(self._lines[one]))
            place = self._lines[client][-1]
            self._forget(client, place)
            if not place.done():
                place.set_exception(self._refusal())

    def _forget(self, client: str, place: asyncio.Future[None]) -> None:
        line = self._lines.get(client)
        if line is not None and place in line:
            line.remove(place)
            if not line:
                del self._lines[client]

    def _refusal(self) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"{self._busy} Try again in a moment.", retry_after_seconds=RETRY_AFTER_SECONDS
        )
