"""Idempotency keys and the objects that were created with them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from domain.errors.exceptions import IdempotencyInProgress
from persistence.engine.errors import sqlstate
from persistence.engine.sqlstates import LOCK_NOT_AVAILABLE
from persistence.records import IdempotencyEntry
from persistence.repositories.base import Repository

OPERATION = "registerTeam"
# Returns no row for a key in use; waits for a transaction that is about to use it.
RESERVE = """
        INSERT INTO idempotency_record AS r (operation, key, fingerprint, team_id, expires_at)
        VALUES (:operation, :key, :fingerprint, :id, :expires_at)
        ON CONFLICT (operation, key) DO UPDATE
            SET fingerprint = excluded.fingerprint, team_id = excluded.team_id,
                expires_at = excluded.expires_at
            WHERE r.expires_at <= :now
        RETURNING r.team_id
"""

_RESERVE = text(RESERVE)
FIND = text("""
    SELECT fingerprint, team_id, expires_at FROM idempotency_record
    WHERE operation = :operation AND key = :key
""")


class IdempotencyRepository(Repository):
    """Uses of idempotency keys."""

    async def reserve(  # noqa: PLR0913 - one argument for each column
        self,
        *,
        operation: str,
        key: str,
        fingerprint: bytes,
        object_id: UUID,
        now: datetime,
        expires_at: datetime,
    ) -> IdempotencyEntry | None:
        """Use the key in this transaction. Returns its former use, None if it was unused.

        Waits for another transaction that is using the key. Raises IdempotencyInProgress when that
        takes longer than the lock timeout.
        """
        key_values = {"operation": operation, "key": key}
        values = {"fingerprint": fingerprint, "id": object_id, "now": now, "expires_at": expires_at}
        try:
            result = await self._execute(_RESERVE, {**key_values, **values})
        except DBAPIError as error:
            if sqlstate(error) == LOCK_NOT_AVAILABLE:
                raise IdempotencyInProgress from error
            raise
        if result.first() is not None:
            return None
        row = (await self._execute(FIND, key_values)).one()
        return IdempotencyEntry(fingerprint=row.fingerprint, team_id=row.team_id)
