"""The second factor (TOTP) and recovery codes: propose, confirm, use, disable."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from persistence.repositories.base import Repository

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

_DELETE_CODES = text("DELETE FROM recovery_code WHERE organiser_id = :id")

_ADD_CODES = text("""
    INSERT INTO recovery_code (organiser_id, code_hash)
    SELECT :id, unnest(CAST(:hashes AS bytea[]))
""")

_USE_CODE = text("""
    DELETE FROM recovery_code WHERE organiser_id = :id AND code_hash = :hash
    RETURNING organiser_id
""")


class TotpRepository(Repository):
    """Second factors and recovery codes of organisers."""

    async def propose(self, organiser_id: UUID, *, salt: bytes) -> bool:
        """Store the salt of a new secret. False when the second factor is enabled already."""
        return await self._affects_row(_PROPOSE, id=organiser_id, salt=salt)

    async def confirm(self, organiser_id: UUID, *, salt: bytes, step: int, now: datetime) -> bool:
        """Enable the factor. False when another secret was proposed since, or it is enabled."""
        return await self._affects_row(_CONFIRM, id=organiser_id, salt=salt, step=step, now=now)

    async def use_step(self, organiser_id: UUID, *, salt: bytes, step: int) -> bool:
        """Use a code. False when the code of this 30-second step or a later one was used."""
        return await self._affects_row(_USE_STEP, id=organiser_id, salt=salt, step=step)

    async def disable(self, organiser_id: UUID) -> bool:
        """Disable the second factor and delete the recovery codes. False when there was none."""
        await self._execute(_DELETE_CODES, {"id": organiser_id})
        return await self._affects_row(_DISABLE, id=organiser_id)

    async def replace_recovery_codes(self, organiser_id: UUID, hashes: Collection[bytes]) -> None:
        await self._execute(_DELETE_CODES, {"id": organiser_id})
        await self._execute(_ADD_CODES, {"id": organiser_id, "hashes": list(hashes)})

    async def use_recovery_code(self, organiser_id: UUID, code_hash: bytes) -> bool:
        return await self._affects_row(_USE_CODE, id=organiser_id, hash=code_hash)

    async def _affects_row(self, statement: Any, **values: Any) -> bool:
        return (await self._execute(statement, values)).first() is not None
