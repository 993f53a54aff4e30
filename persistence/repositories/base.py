"""Base of the repositories."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import CursorResult, Executable
from sqlmodel.ext.asyncio.session import AsyncSession


class Repository:
    """Reads and writes rows in the session of a unit of work, which commits."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def _execute(
        self, statement: Executable, values: Mapping[str, Any] | None = None
    ) -> CursorResult[Any]:
        """Execute a statement whose rows are not mapped to objects."""
        return await (await self._session.connection()).execute(statement, values)

    async def _count_rows(
        self, statement: Executable, values: Mapping[str, Any] | None = None
    ) -> int:
        """Execute a statement that writes. Returns the number of rows that it changed."""
        return (await self._execute(statement, values)).rowcount
