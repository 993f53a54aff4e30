"""Base of the repositories."""

from dataclasses import fields
from functools import cache
from typing import Any

from sqlmodel import SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession


def shared_values(record: type, entity: SQLModel) -> dict[str, Any]:
    """The values of the columns that have the name of a field of the record."""
    return {name: getattr(entity, name) for name in _shared_names(record, type(entity))}


@cache
def _shared_names(record: Any, model: type[SQLModel]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(record) if field.name in model.model_fields)


class Repository:
    """Reads and writes rows in the session of a unit of work, which commits."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
