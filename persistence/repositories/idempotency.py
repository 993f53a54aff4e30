"""What idempotency keys were used for."""

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
# Returns nothing for a key that is used, and waits for one that is about to be.
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
_REMEMBERED = CompiledStatement(_FIND)


async def find(database: Database, key: str, *, now: datetime) -> IdempotencyEntry | None:
    """What a key was used for; None for one that was not, or is forgotten by now."""
    rows = await database.fetch(_REMEMBERED, operation=OPERATION, key=key)
    # Not a condition of the statement: planned while there were no keys, it would go by the time.
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
    """Use the key in this transaction. Return what it was used for before, None for nothing.

    Waits for a transaction that uses the key. Raises IdempotencyInProgress when that takes longer
    than the lock timeout.
    """
    names = {"operation": operation, "key": key}
    values = {"fingerprint": fingerprint, "id": object_id, "now": now, "expires_at": expires_at}
    try:
        reserved = await connection.execute(_RESERVE, {**names, **values})
    except DBAPIError as error:
        if sqlstate(error) == LOCK_NOT_AVAILABLE:
            raise IdempotencyInProgress from error
        raise
    if reserved.first() is not None:
        return None
    row = (await connection.execute(_FIND, names)).one()
    return IdempotencyEntry(fingerprint=row.fingerprint, team_id=row.team_id)
