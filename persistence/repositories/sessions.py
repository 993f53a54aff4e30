"""Sessions and API tokens, which are found by the hash of their secret."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, insert, select, text, update

from domain.auth.roles import Role
from persistence.fast.statement_pool import Row
from persistence.models import api_token, organiser, organiser_session
from persistence.records import ApiTokenRecord, SessionRecord
from persistence.repositories.base import Repository

MAX_LISTED = 500

SELECT_SESSION = select(
    *(column for column in organiser_session.c if column.name != "token_hash"), organiser.c.role
).join(organiser, organiser.c.id == organiser_session.c.organiser_id)
_API_TOKEN = select(
    *(column for column in api_token.c if column.name != "token_hash"),
    organiser.c.role.label("organiser_role"),
).join(organiser, organiser.c.id == api_token.c.organiser_id)


_DELETE_EXPIRED_SESSIONS = text("""
    DELETE FROM organiser_session WHERE expires_at <= :now OR last_used_at <= :idle_since
""")
_USE_NONCE = text("""
    INSERT INTO request_nonce (api_token_id, nonce, expires_at)
    VALUES (:token_id, :nonce, :expires_at) ON CONFLICT DO NOTHING
""")
_DELETE_EXPIRED_NONCES = text("DELETE FROM request_nonce WHERE expires_at <= :now")
_DELETE_EXPIRED_API_TOKENS = text("DELETE FROM api_token WHERE expires_at <= :now")


def _session(row: Row) -> SessionRecord:
    return SessionRecord(**{**row, "role": Role(row["role"])})


def _token(row: Row) -> ApiTokenRecord:
    values = dict(row.items())
    for name in ("role", "organiser_role"):
        values[name] = Role(values[name])
    return ApiTokenRecord(**values)


class SessionRepository(Repository):
    """Sessions, API tokens and nonces of signed requests."""

    async def add_session(self, session: SessionRecord, *, token_hash: bytes) -> None:
        values = {
            "id": session.id,
            "organiser_id": session.organiser_id,
            "token_hash": token_hash,
            "created_at": session.created_at,
            "last_used_at": session.last_used_at,
            "expires_at": session.expires_at,
        }
        await self._execute(insert(organiser_session).values(**values))

    async def list_sessions(
        self, organiser_id: UUID, *, now: datetime, idle_since: datetime
    ) -> list[SessionRecord]:
        """Valid sessions, newest first, MAX_LISTED at most."""
        rows = await self._execute(
            SELECT_SESSION.where(
                organiser_session.c.organiser_id == organiser_id,
                organiser_session.c.expires_at > now,
                organiser_session.c.last_used_at > idle_since,
            )
            .order_by(organiser_session.c.id.desc())
            .limit(MAX_LISTED)
        )
        return [_session(row) for row in rows.mappings()]

    async def touch_session(self, session_id: UUID, *, now: datetime) -> None:
        await self._execute(
            update(organiser_session)
            .where(organiser_session.c.id == session_id, organiser_session.c.last_used_at < now)
            .values(last_used_at=now)
        )

    async def delete_session(
        self, session_id: UUID, *, organiser_id: UUID | None
    ) -> SessionRecord | None:
        """Delete a session, of this organiser if one is given. None when there is none."""
        rows = await self._execute(
            SELECT_SESSION.where(organiser_session.c.id == session_id).with_for_update(
                of=organiser_session
            )
        )
        row = rows.mappings().first()
        if row is None or organiser_id not in {None, row["organiser_id"]}:
            return None
        await self._execute(delete(organiser_session).where(organiser_session.c.id == session_id))
        return _session(row)

    async def delete_organiser_sessions(self, organiser_id: UUID) -> int:
        return await self._count_rows(
            delete(organiser_session).where(organiser_session.c.organiser_id == organiser_id)
        )

    async def add_api_token(self, token: ApiTokenRecord, *, token_hash: bytes) -> None:
        values = {
            "id": token.id,
            "organiser_id": token.organiser_id,
            "name": token.name,
            "role": token.role.value,
            "token_hash": token_hash,
            "is_signed": token.is_signed,
            "created_at": token.created_at,
            "expires_at": token.expires_at,
        }
        await self._execute(insert(api_token).values(**values))

    async def find_active_api_token(
        self, token_hash: bytes, *, now: datetime
    ) -> ApiTokenRecord | None:
        """Find an API token for display. None when it was revoked or has expired."""
        rows = await self._execute(
            _API_TOKEN.where(api_token.c.token_hash == token_hash, api_token.c.expires_at > now)
        )
        row = rows.mappings().first()
        return _token(row) if row is not None else None

    async def list_api_tokens(self, organiser_id: UUID, *, now: datetime) -> list[ApiTokenRecord]:
        """Valid API tokens, newest first, MAX_LISTED at most."""
        rows = await self._execute(
            _API_TOKEN.where(api_token.c.organiser_id == organiser_id, api_token.c.expires_at > now)
            .order_by(api_token.c.id.desc())
            .limit(MAX_LISTED)
        )
        return [_token(row) for row in rows.mappings()]

    async def touch_api_token(self, token_id: UUID, *, now: datetime) -> None:
        await self._execute(
            update(api_token).where(api_token.c.id == token_id).values(last_used_at=now)
        )

    async def use_nonce(self, *, token_id: UUID, nonce: str, expires_at: datetime) -> bool:
        """Use the nonce of a signed request. False when it was used before."""
        return bool(
            await self._count_rows(
                _USE_NONCE, {"token_id": token_id, "nonce": nonce, "expires_at": expires_at}
            )
        )

    async def delete_api_token(
        self, token_id: UUID, *, organiser_id: UUID | None
    ) -> ApiTokenRecord | None:
        """Delete a token, of this organiser if one is given. None when there is no such token."""
        rows = await self._execute(
            _API_TOKEN.where(api_token.c.id == token_id).with_for_update(of=api_token)
        )
        row = rows.mappings().first()
        if row is None or organiser_id not in {None, row["organiser_id"]}:
            return None
        await self._execute(delete(api_token).where(api_token.c.id == token_id))
        return _token(row)

    async def delete_organiser_api_tokens(self, organiser_id: UUID) -> int:
        return await self._count_rows(
            delete(api_token).where(api_token.c.organiser_id == organiser_id)
        )

    async def delete_expired(self, *, now: datetime, idle_since: datetime) -> int:
        """Delete expired sessions, API tokens and nonces. Returns the number of the first two."""
        sessions = await self._count_rows(
            _DELETE_EXPIRED_SESSIONS, {"now": now, "idle_since": idle_since}
        )
        tokens = await self._count_rows(_DELETE_EXPIRED_API_TOKENS, {"now": now})
        await self._execute(_DELETE_EXPIRED_NONCES, {"now": now})
        return sessions + tokens
