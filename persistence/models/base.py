"""Shared by all tables: naming convention, UTC times, conditions of live and current rows."""

from enum import StrEnum
from typing import Any, Generic, TypeVar

from sqlalchemy import DateTime, Dialect, MetaData, Text, TypeDecorator, text
from sqlmodel import Field, Relationship, SQLModel

from domain.teams.status import LIVE_STATUSES

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}
SQLModel.metadata.naming_convention = MetaData(naming_convention=NAMING).naming_convention
metadata = SQLModel.metadata

# SQL conditions of documents that count, and of teams that hold a slot.
IS_CURRENT = text("review <> 'SUPERSEDED' AND deleted_at IS NULL")
IS_LIVE = text("status IN ({})".format(", ".join(f"'{s.value}'" for s in sorted(LIVE_STATUSES))))
UTC_TIME: Any = DateTime(timezone=True)
E = TypeVar("E", bound=StrEnum)


class EnumText(TypeDecorator[E], Generic[E]):
    """A text column whose values are members of a string enumeration."""

    impl = Text
    cache_ok = True

    def __init__(self, members: type[E]) -> None:
        super().__init__()
        self.members = members

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else str(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> E | None:  # noqa: ARG002
        return None if value is None else self.members(value)


def enum_text(members: type[StrEnum]) -> Any:
    """The type of a text column whose values are members of `members`."""
    return EnumText(members)


def related(**options: Any) -> Any:
    """Related rows, which are read only by statements that name them (`joinedload` and so on).

    They are written by adding their own objects to the session.
    """
    return Relationship(sa_relationship_kwargs={"lazy": "raise", "viewonly": True, **options})


def utc(*, nullable: bool = False) -> Any:
    """A `timestamptz` column."""
    return Field(sa_type=UTC_TIME, nullable=nullable)
