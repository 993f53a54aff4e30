"""Rows by their keys, for all requests that ask in one turn of the loop: one statement for them.

Nothing is kept: what is told was read after it was asked for.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Any

from observability.event_loop import RunningLoop
from persistence.fast.statement_pool import CompiledStatement, Row

# Not all that there may be: the database reads for some while the process answers others.
MAX_BATCH_SIZE = 6

Fetch = Callable[[CompiledStatement, dict[str, Any]], Awaitable[Sequence[Row]]]
Asked = list[tuple[Any, asyncio.Future[Row | None]]]


class BatchFailed(Exception):
    """A statement failed that asked for others too: whose fault that was, it does not say."""


class RowBatcher:
    """`fetch` runs statements whose `keys` are what is sought, and whose rows say it in `key`."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._asked: dict[CompiledStatement, Asked] = {}
        self._fetching: set[asyncio.Task[None]] = set()
        self._loop = RunningLoop()

    async def find(self, statement: CompiledStatement, key: Any) -> Row | None:
        """The row whose key this is. Raises what `fetch` raises for this key alone."""
        loop = self._loop.get()
        asked = self._asked.get(statement)
        if asked is None or len(asked) == MAX_BATCH_SIZE:
            asked = self._asked[statement] = []
            # What is logged on the way belongs to none of the requests.
            task = loop.create_task(self._answer(statement, asked), context=Context())
            self._fetching.add(task)
            task.add_done_callback(self._fetching.discard)
        answer: asyncio.Future[Row | None] = loop.create_future()
        asked.append((key, answer))
        try:
            return await answer
        except BatchFailed:
            rows = await self._fetch(statement, {"keys": [key]})
            return rows[0] if rows else None

    async def _answer(self, statement: CompiledStatement, asked: Asked) -> None:
        """Begins in the next turn of the loop, with all who have asked until then."""
        if self._asked.get(statement) is asked:
            del self._asked[statement]
        try:
            rows = await self._fetch(statement, {"keys": [key for key, _ in asked]})
        except Exception as error:  # noqa: BLE001 - handed to those who asked
            told = error if len(asked) == 1 else BatchFailed()
            for _, answer in asked:
                if not answer.done():
                    answer.set_exception(told)
            return
        found = {row["key"]: row for row in rows}
        for key, answer in asked:
            if not answer.done():
                answer.set_result(found.get(key))
