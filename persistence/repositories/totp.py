"""The second factor: proposed, confirmed, used once per code, given up."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_PROPOSE = text("""
    UPDATE organiser SET totp_salt = :salt, totp_last_step = NULL
    WHERE id = :id AND totp_confirmed_at IS NULL RETURNING id
""")

_CONFIRM = text("""
    UPDATE organiser SET totp_confirmed_at = :now, totp_last_step = :step
    WHERE id = :id AND totp_salt = :salt AND totp_confirmed_at IS NULL RETURNING id
""")

_USE_STEP = text("""
    UPDATE organiser SET totp_last_step = :step
    WHERE id = :id AND totp_salt = :salt AND totp_confirmed_at IS NOT NULL
      AND (totp_last_step IS NULL OR totp_last_step < :step)
    RETURNING id
""")

_DISABLE = text("""
    UPDATE organiser SET totp_salt = NULL, totp_confirmed_at = NULL, totp_last_step = NULL
    WHERE id = :id AND totp_salt IS NOT NULL RETURNING id
""")

_FORGET_CODES = text("DELETE FROM recovery_code WHERE organiser_id = :id")

_ADD_CODES = text("""
    INSERT INTO recovery_code (organiser_id, code_hash)
    SELECT :id, unnest(CAST(:hashes AS bytea[]))
""")

_USE_CODE = text("""
    DELETE FROM recovery_code WHERE organiser_id = :id AND code_hash = :hash
    RETURNING organiser_id
""")


async def propose(connection: AsyncConnection, organiser_id: UUID, *, salt: bytes) -> bool:
    """False when the second factor is on already."""
    return await _is_done(connection, _PROPOSE, id=organiser_id, salt=salt)


async def confirm(
    connection: AsyncConnection, organiser_id: UUID, *, salt: bytes, step: int, now: datetime
) -> bool:
    """False when another secret was proposed since, or it is on already."""
    return await _is_done(connection, _CONFIRM, id=organiser_id, salt=salt, step=step, now=now)


async def use_step(
    connection: AsyncConnection, organiser_id: UUID, *, salt: bytes, step: int
) -> bool:
    """False when the code of this half minute, or of a later one, was used before."""
    return await _is_done(connection, _USE_STEP, id=organiser_id, salt=salt, step=step)


async def disable(connection: AsyncConnection, organiser_id: UUID) -> bool:
    """The recovery codes go with it. False when there was none."""
    await connection.execute(_FORGET_CODES, {"id": organiser_id})
    return await _is_done(connection, _DISABLE, id=organiser_id)


async def replace_recovery_codes(
    connection: AsyncConnection, organiser_id: UUID, hashes: Collection[bytes]
) -> None:
    await connection.execute(_FORGET_CODES, {"id": organiser_id})
    await connection.execute(_ADD_CODES, {"id": organiser_id, "hashes": list(hashes)})


async def use_recovery_code(
    connection: AsyncConnection, organiser_id: UUID, code_hash: bytes
) -> bool:
    return await _is_done(connection, _USE_CODE, id=organiser_id, hash=code_hash)


async def _is_done(connection: AsyncConnection, statement: Any, **values: Any) -> bool:
    return (await connection.execute(statement, values)).first() is not None
