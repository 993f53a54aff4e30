"""Idempotency keys and the objects that were created with them."""

from datetime import datetime

from sqlalchemy import Executable
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlmodel import col

from domain.errors.exceptions import IdempotencyInProgress
from persistence.engine.errors import sqlstate
from persistence.engine.sqlstates import LOCK_NOT_AVAILABLE
from persistence.models import IdempotencyRecord
from persistence.records import IdempotencyEntry
from persistence.repositories.base import Repository

REGISTER_TEAM = "registerTeam"


def insert_or_replace_expired(record: IdempotencyRecord, *, now: datetime) -> Executable:
    """A statement that returns no row if the key is in use.

    It waits for a transaction that is about to use the key.
    """
    statement = insert(IdempotencyRecord).values(**record.model_dump())
    return statement.on_conflict_do_update(
        index_elements=["operation", "key"],
        set_={name: statement.excluded[name] for name in ("fingerprint", "team_id", "expires_at")},
        where=col(IdempotencyRecord.expires_at) <= now,
    ).returning(col(IdempotencyRecord.team_id))


class IdempotencyRepository(Repository):
    """Uses of idempotency keys."""

    async def reserve(
        self,
        *,
        operation: str,
        key: str,
        entry: IdempotencyEntry,
        now: datetime,
        expires_at: datetime,
    ) -> IdempotencyEntry | None:
        """Use the key in this transaction. Returns its former use, None if it was unused.

        Waits for another transaction that is using the key. Raises IdempotencyInProgress when that
        takes longer than the lock timeout.
        """
        record = IdempotencyRecord(
            operation=operation,
            key=key,
            fingerprint=entry.fingerprint,
            team_id=entry.object_id,
            expires_at=expires_at,
        )
        try:
            object_id = await self._session.scalar(insert_or_replace_expired(record, now=now))
        except DBAPIError as error:
            if sqlstate(error) == LOCK_NOT_AVAILABLE:
                raise IdempotencyInProgress from error
            raise
        if object_id is not None:
            return None
        former = await self._session.get_one(IdempotencyRecord, (operation, key))
        return IdempotencyEntry(fingerprint=former.fingerprint, object_id=former.team_id)
