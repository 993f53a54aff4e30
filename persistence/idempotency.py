"""What idempotency keys were used for."""

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.errors import IdempotencyInProgress
from persistence.database import LOCK_NOT_AVAILABLE, sqlstate
from persistence.records import Remembered

OPERATION = "registerTeam"

_RESERVE = text("""
    INSERT INTO idempotency_record AS r (operation, key, fingerprint, team_id, expires_at)
    VALUES (:operation, :key, :fingerprint, :team_id, :expires_at)
    ON CONFLICT (operation, key) DO UPDATE
        SET fingerprint = excluded.fingerprint, team_id = excluded.team_id,
            expires_at = excluded.expires_at
        WHERE r.expires_at <= :now
    RETURNING r.team_id
""")

_REMEMBERED = text("""
    SELECT fingerprint, team_id FROM idempotency_record WHERE operation = :operation AND key = :key
""")


async def reserve(
    connection: AsyncConnection,
    key: str,
    wanted: Remembered,
    *,
    now: datetime,
    expires_at: datetime,
) -> Remembered | None:
    """None when the key stands for `wanted` from now on, else what was committed before.

    That is `wanted` itself when the attempt is repeated because its commit went unanswered.

    Waits for a registration with the same key that is under way. Raises IdempotencyInProgress
    when that takes longer than the lock timeout.
    """
    values = {"operation": OPERATION, "key": key}
    reservation = {
        "fingerprint": wanted.fingerprint,
        "team_id": wanted.team_id,
        "now": now,
        "expires_at": expires_at,
    }
    try:
        reserved = (await connection.execute(_RESERVE, values | reservation)).first()
    except DBAPIError as error:
        if sqlstate(error) == LOCK_NOT_AVAILABLE:
            raise IdempotencyInProgress from error
        raise
    if reserved is not None:
        return None
    row = (await connection.execute(_REMEMBERED, values)).one()
    return Remembered(fingerprint=row.fingerprint, team_id=row.team_id)
