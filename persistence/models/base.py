"""Shared by all tables: naming convention, UTC times, conditions of live and current rows."""

from typing import Any

from sqlalchemy import DateTime, MetaData, text
from sqlmodel import Field, SQLModel

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


def utc(*, nullable: bool = False) -> Any:
    """A `timestamptz` column."""
    return Field(sa_type=UTC_TIME, nullable=nullable)
