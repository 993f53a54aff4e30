"""Limited concurrency, shared fairly between clients (round-robin)."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from domain.errors.exceptions import ServiceUnavailable

RETRY_AFTER_SECONDS = 10


class FairQueue:
    """Run at most `concurrency` pieces of work at once, `per_client` of them for the same client.

    Free slots go to the clients in rotation, however many requests each has in the queue. At most
    `max_waiting` requests wait. Beyond that, the newest request of the client with the longest
    queue is refused. A request is also refused when it has waited for `wait_timeout_seconds`
    (None: no limit). Use an instance from one event loop only.
    """

    def __init__(
        self,
        *,
        concurrency: int,
        per_client: int,
        max_waiting: int,
        busy: str,
        wait_timeout_seconds: float | None = None,
    ) -> None:
        """`busy` is the message of a refusal, such as `Many files are being checked.`."""
        self._free_slots = concurrency
        self._per_client = per_client
        self._max_waiting = max_waiting
        self._busy = busy
        self._wait_timeout_seconds = wait_timeout_seconds
        self._running: Counter[str] = Counter()
        # In the order in which the clients get the next slots.
        self._queues: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @property
    def waiting(self) -> int:
        return sum(map(len, self._queues.values()))

    @asynccontextmanager
    async def slot(self, client: str) -> AsyncGenerator[None]:
        """Wait for a slot and hold it. Raises ServiceUnavailable when the request is refused."""
        await self._acquire(client)
        try:
            yield
        finally:
            self._release(client)

    async def _acquire(self, client: str) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(client, deque()).append(waiter)
        self._assign_slots()
        self._refuse_excess()
        try:
            async with asyncio.timeout(self._wait_timeout_seconds):
                await self._wait(client, waiter)
        except TimeoutError as error:
            raise self._refusal() from error

    async def _wait(self, client: str, waiter: asyncio.Future[None]) -> None:
        """Wait for the slot. If this task is cancelled, leave the queue or release the slot."""
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                self._remove(client, waiter)
            elif waiter.exception() is None:
                self._release(client)
            raise

    def _release(self, client: str) -> None:
        self._running[client] -= 1
        if self._running[client] == 0:
            del self._running[client]
        self._free_slots += 1
        self._assign_slots()

    def _assign_slots(self) -> None:
        while self._free_slots and (client := self._next_client()) is not None:
            waiter = self._queues[client].popleft()
            self._queues.move_to_end(client)
            if not self._queues[client]:
                del self._queues[client]
            if not waiter.done():
                self._free_slots -= 1
                self._running[client] += 1
                waiter.set_result(None)

    def _next_client(self) -> str | None:
        """Return the first client in the rotation that is below its own limit."""
        return next(
            (client for client in self._queues if self._running[client] < self._per_client), None
        )

    def _refuse_excess(self) -> None:
        if self.waiting > self._max_waiting:
            client = max(self._queues, key=lambda client: len(self._queues[client]))
            waiter = self._queues[client][-1]
            self._remove(client, waiter)
            if not waiter.done():
                waiter.set_exception(self._refusal())

    def _remove(self, client: str, waiter: asyncio.Future[None]) -> None:
        queue = self._queues.get(client)
        if queue is not None and waiter in queue:
            queue.remove(waiter)
            if not queue:
                del self._queues[client]

    def _refusal(self) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"{self._busy} Try again in a moment.", retry_after_seconds=RETRY_AFTER_SECONDS
        )
