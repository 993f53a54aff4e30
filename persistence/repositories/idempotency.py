"""Idempotency keys and the objects that were created with them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors.exceptions import IdempotencyInProgress
from persistence.engine.database import Database
from persistence.engine.errors import sqlstate
from persistence.engine.sqlstates import LOCK_NOT_AVAILABLE
from persistence.fast.statement_pool import CompiledStatement
from persistence.records import IdempotencyEntry

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
_FIND = text("""
    SELECT fingerprint, team_id, expires_at FROM idempotency_record
    WHERE operation = :operation AND key = :key
""")
_FETCH = CompiledStatement(_FIND)


async def find(database: Database, key: str, *, now: datetime) -> IdempotencyEntry | None:
    """The use of a key by `registerTeam`; None for an unused or expired key."""
    rows = await database.fetch(_FETCH, operation=OPERATION, key=key)
    # Compared here: with a condition on expires_at, a plan made while the table was empty could use
    # the index on expires_at for good.
    if not rows or rows[0]["expires_at"] <= now:
        return None
    return IdempotencyEntry(fingerprint=rows[0]["fingerprint"], team_id=rows[0]["team_id"])


async def reserve(  # noqa: PLR0913 - one argument for each column
    connection: AsyncConnection,
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
        result = await connection.execute(_RESERVE, {**key_values, **values})
    except DBAPIError as error:
        if sqlstate(error) == LOCK_NOT_AVAILABLE:
            raise IdempotencyInProgress from error
        raise
    if result.first() is not None:
        return None
    row = (await connection.execute(_FIND, key_values)).one()
    return IdempotencyEntry(fingerprint=row.fingerprint, team_id=row.team_id)
