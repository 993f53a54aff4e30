"""Batch look-ups by key: all that are requested in one turn of the event loop share a statement.

Nothing is cached: every row is read after it was requested.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Any

from persistence.engine.errors import is_pool_exhausted
from persistence.fast.statement_pool import CompiledStatement, Row

# Small batches: PostgreSQL reads the next one while this process answers the callers of the last.
MAX_BATCH_SIZE = 6

Fetch = Callable[[CompiledStatement, dict[str, Any]], Awaitable[Sequence[Row]]]
# Keys with the futures of their callers.
Batch = list[tuple[Any, asyncio.Future[Row | None]]]


class BatchFailed(Exception):
    """A statement for several keys failed, possibly because of another caller's key."""


class RowBatcher:
    """`fetch` executes statements with the parameter `keys`, whose rows have the column `key`."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        # The batches that still take keys.
        self._open_batches: dict[CompiledStatement, Batch] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def find(self, statement: CompiledStatement, key: Any) -> Row | None:
        """The row with this key. Raises what `fetch` raises for this key alone."""
        loop = asyncio.get_running_loop()
        batch = self._open_batches.get(statement)
        if batch is None or len(batch) == MAX_BATCH_SIZE:
            batch = self._open_batches[statement] = []
            # An empty context: log lines of the task belong to no single request.
            task = loop.create_task(self._fetch_batch(statement, batch), context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        future: asyncio.Future[Row | None] = loop.create_future()
        batch.append((key, future))
        try:
            return await future
        except BatchFailed:
            return next(iter(await self._fetch(statement, {"keys": [key]})), None)

    async def _fetch_batch(self, statement: CompiledStatement, batch: Batch) -> None:
        """Runs in the next turn of the loop, and closes the batch then."""
        if self._open_batches.get(statement) is batch:
            del self._open_batches[statement]
        try:
            rows = await self._fetch(statement, {"keys": [key for key, _ in batch]})
        except Exception as error:  # noqa: BLE001 - raised in the callers
            is_shared = len(batch) == 1 or is_pool_exhausted(error)
            raised = error if is_shared else BatchFailed()
            for _, future in batch:
                if not future.done():
                    future.set_exception(raised)
            return
        by_key = {row["key"]: row for row in rows}
        for key, future in batch:
            if not future.done():
                future.set_result(by_key.get(key))
