"""Sessions and API tokens, which are found by the hash of their secret."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.auth.roles import Caller, CallerKind, Role
from persistence.engine.database import Database
from persistence.fast.statement_pool import CompiledStatement, Row, key_in
from persistence.models import api_token, organiser, organiser_session
from persistence.records import ApiTokenRecord, Credential, SessionRecord

MAX_LISTED = 500

_SESSION = select(
    *(column for column in organiser_session.c if column.name != "token_hash"), organiser.c.role
).join(organiser, organiser.c.id == organiser_session.c.organiser_id)
_API_TOKEN = select(
    *(column for column in api_token.c if column.name != "token_hash"),
    organiser.c.role.label("organiser_role"),
).join(organiser, organiser.c.id == api_token.c.organiser_id)


_ROLES = {role.value: role for role in Role}
_FIND_API_TOKEN = CompiledStatement(
    select(
        api_token.c.id,
        api_token.c.organiser_id,
        api_token.c.role,
        organiser.c.role.label("organiser_role"),
        api_token.c.is_signed,
        api_token.c.expires_at,
        api_token.c.last_used_at,
        api_token.c.token_hash.label("key"),
    )
    .join(organiser, organiser.c.id == api_token.c.organiser_id)
    .where(key_in(api_token.c.token_hash))
)
_FIND_SESSION = CompiledStatement(
    _SESSION.add_columns(organiser_session.c.token_hash.label("key")).where(
        key_in(organiser_session.c.token_hash)
    )
)

_DELETE_EXPIRED_SESSIONS = text("""
    DELETE FROM organiser_session WHERE expires_at <= :now OR last_used_at <= :idle_since
""")
_USE_NONCE = text("""
    INSERT INTO request_nonce (api_token_id, nonce, expires_at)
    VALUES (:token_id, :nonce, :expires_at) ON CONFLICT DO NOTHING
""")
_DELETE_EXPIRED_NONCES = text("DELETE FROM request_nonce WHERE expires_at <= :now")
_DELETE_EXPIRED_API_TOKENS = text("DELETE FROM api_token WHERE expires_at <= :now")


async def add_session(
    connection: AsyncConnection, session: SessionRecord, *, token_hash: bytes
) -> None:
    values = {
        "id": session.id,
        "organiser_id": session.organiser_id,
        "token_hash": token_hash,
        "created_at": session.created_at,
        "last_used_at": session.last_used_at,
        "expires_at": session.expires_at,
    }
    await connection.execute(insert(organiser_session).values(**values))


async def find_session(database: Database, token_hash: bytes) -> Credential | None:
    """Find a session. The caller checks whether it has expired or was idle for too long."""
    row = await database.find_by_key(_FIND_SESSION, token_hash)
    if row is None:
        return None
    caller = _caller(row, _ROLES[row["role"]], session_id=row["id"])
    return Credential(row["id"], caller, row["expires_at"], row["last_used_at"])


async def list_sessions(
    connection: AsyncConnection, organiser_id: UUID, *, now: datetime, idle_since: datetime
) -> list[SessionRecord]:
    """Valid sessions, newest first, MAX_LISTED at most."""
    rows = await connection.execute(
        _SESSION.where(
            organiser_session.c.organiser_id == organiser_id,
            organiser_session.c.expires_at > now,
            organiser_session.c.last_used_at > idle_since,
        )
        .order_by(organiser_session.c.id.desc())
        .limit(MAX_LISTED)
    )
    return [_session(row) for row in rows.mappings()]


async def touch_session(connection: AsyncConnection, session_id: UUID, *, now: datetime) -> None:
    await connection.execute(
        update(organiser_session)
        .where(organiser_session.c.id == session_id, organiser_session.c.last_used_at < now)
        .values(last_used_at=now)
    )


async def delete_session(
    connection: AsyncConnection, session_id: UUID, *, organiser_id: UUID | None
) -> SessionRecord | None:
    """Delete a session, of this organiser if one is given. None when there is no such session."""
    rows = await connection.execute(
        _SESSION.where(organiser_session.c.id == session_id).with_for_update(of=organiser_session)
    )
    row = rows.mappings().first()
    if row is None or organiser_id not in {None, row["organiser_id"]}:
        return None
    await connection.execute(delete(organiser_session).where(organiser_session.c.id == session_id))
    return _session(row)


async def delete_organiser_sessions(connection: AsyncConnection, organiser_id: UUID) -> int:
    result = await connection.execute(
        delete(organiser_session).where(organiser_session.c.organiser_id == organiser_id)
    )
    return int(result.rowcount)


async def add_api_token(
    connection: AsyncConnection, token: ApiTokenRecord, *, token_hash: bytes
) -> None:
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
    await connection.execute(insert(api_token).values(**values))


async def find_api_token(database: Database, token_hash: bytes) -> Credential | None:
    """Find an API token. The caller checks whether it has expired."""
    row = await database.find_by_key(_FIND_API_TOKEN, token_hash)
    if row is None:
        return None
    caller = _caller(row, _ROLES[row["role"]].lower_of(_ROLES[row["organiser_role"]]))
    return Credential(row["id"], caller, row["expires_at"], row["last_used_at"], row["is_signed"])


async def find_active_api_token(
    connection: AsyncConnection, token_hash: bytes, *, now: datetime
) -> ApiTokenRecord | None:
    """Find an API token for display. None when it was revoked or has expired."""
    rows = await connection.execute(
        _API_TOKEN.where(api_token.c.token_hash == token_hash, api_token.c.expires_at > now)
    )
    row = rows.mappings().first()
    return _token(row) if row is not None else None


async def list_api_tokens(
    connection: AsyncConnection, organiser_id: UUID, *, now: datetime
) -> list[ApiTokenRecord]:
    """Valid API tokens, newest first, MAX_LISTED at most."""
    rows = await connection.execute(
        _API_TOKEN.where(api_token.c.organiser_id == organiser_id, api_token.c.expires_at > now)
        .order_by(api_token.c.id.desc())
        .limit(MAX_LISTED)
    )
    return [_token(row) for row in rows.mappings()]


async def touch_api_token(connection: AsyncConnection, token_id: UUID, *, now: datetime) -> None:
    await connection.execute(
        update(api_token).where(api_token.c.id == token_id).values(last_used_at=now)
    )


async def use_nonce(
    connection: AsyncConnection, *, token_id: UUID, nonce: str, expires_at: datetime
) -> bool:
    """Use the nonce of a signed request. False when it was used before."""
    result = await connection.execute(
        _USE_NONCE, {"token_id": token_id, "nonce": nonce, "expires_at": expires_at}
    )
    return bool(result.rowcount)


async def delete_api_token(
    connection: AsyncConnection, token_id: UUID, *, organiser_id: UUID | None
) -> ApiTokenRecord | None:
    """Delete a token, of this organiser if one is given. None when there is no such token."""
    rows = await connection.execute(
        _API_TOKEN.where(api_token.c.id == token_id).with_for_update(of=api_token)
    )
    row = rows.mappings().first()
    if row is None or organiser_id not in {None, row["organiser_id"]}:
        return None
    await connection.execute(delete(api_token).where(api_token.c.id == token_id))
    return _token(row)


async def delete_organiser_api_tokens(connection: AsyncConnection, organiser_id: UUID) -> int:
    result = await connection.execute(
        delete(api_token).where(api_token.c.organiser_id == organiser_id)
    )
    return int(result.rowcount)


async def delete_expired(
    connection: AsyncConnection, *, now: datetime, idle_since: datetime
) -> int:
    """Delete expired sessions, API tokens and nonces. Returns the number of the first two."""
    sessions = await connection.execute(
        _DELETE_EXPIRED_SESSIONS, {"now": now, "idle_since": idle_since}
    )
    tokens = await connection.execute(_DELETE_EXPIRED_API_TOKENS, {"now": now})
    await connection.execute(_DELETE_EXPIRED_NONCES, {"now": now})
    return int(sessions.rowcount) + int(tokens.rowcount)


def _caller(row: Row, role: Role, session_id: UUID | None = None) -> Caller:
    return Caller(
        kind=CallerKind.ORGANISER,
        organiser_id=row["organiser_id"],
        role=role,
        session_id=session_id,
    )


def _session(row: Row) -> SessionRecord:
    return SessionRecord(**{**row, "role": Role(row["role"])})


def _token(row: Row) -> ApiTokenRecord:
    values = dict(row.items())
    for name in ("role", "organiser_role"):
        values[name] = Role(values[name])
    return ApiTokenRecord(**values)
