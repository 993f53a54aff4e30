"""Single rows that many requests need, each read by a statement of its own outside units of work.

Look-ups by key share the statement with all callers in the same turn of the event loop.
"""

from datetime import datetime
from types import SimpleNamespace
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.exc import NoResultFound
from sqlmodel import col

from domain.auth.roles import Caller, CallerKind, Role
from persistence.engine.database import Database
from persistence.fast.statement_pool import CompiledStatement, Row, key_in
from persistence.models import (
    IdempotencyRecord,
    api_token,
    organiser,
    organiser_session,
    tournament,
)
from persistence.records import Credential, IdempotencyEntry, TournamentRecord
from persistence.repositories.idempotency import REGISTER_TEAM
from persistence.repositories.tournaments import tournament_record

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
    select(
        organiser_session.c.id,
        organiser_session.c.organiser_id,
        organiser.c.role,
        organiser_session.c.expires_at,
        organiser_session.c.last_used_at,
        organiser_session.c.token_hash.label("key"),
    )
    .join(organiser, organiser.c.id == organiser_session.c.organiser_id)
    .where(key_in(organiser_session.c.token_hash))
)
_FIND_ACTIVE_TOURNAMENT = CompiledStatement(
    select(tournament, tournament.c.is_active.label("key")).where(key_in(tournament.c.is_active))
)
_FIND_IDEMPOTENCY_ENTRY = CompiledStatement(
    select(IdempotencyRecord).where(
        col(IdempotencyRecord.operation) == bindparam("operation"),
        col(IdempotencyRecord.key) == bindparam("key"),
    )
)


async def find_session(database: Database, token_hash: bytes) -> Credential | None:
    """Find a session. The caller checks whether it has expired or was idle for too long."""
    row = await database.find_by_key(_FIND_SESSION, token_hash)
    if row is None:
        return None
    caller = _caller(row, _ROLES[row["role"]], session_id=row["id"])
    return Credential(row["id"], caller, row["expires_at"], row["last_used_at"])


async def find_api_token(database: Database, token_hash: bytes) -> Credential | None:
    """Find an API token. The caller checks whether it has expired."""
    row = await database.find_by_key(_FIND_API_TOKEN, token_hash)
    if row is None:
        return None
    caller = _caller(row, _ROLES[row["role"]].lower_of(_ROLES[row["organiser_role"]]))
    return Credential(row["id"], caller, row["expires_at"], row["last_used_at"], row["is_signed"])


def _caller(row: Row, role: Role, session_id: UUID | None = None) -> Caller:
    return Caller(
        kind=CallerKind.ORGANISER,
        organiser_id=row["organiser_id"],
        role=role,
        session_id=session_id,
    )


async def get_active_tournament(database: Database) -> TournamentRecord:
    row = await database.find_by_key(_FIND_ACTIVE_TOURNAMENT, True)
    if row is None:
        raise NoResultFound
    return tournament_record(SimpleNamespace(**row))


async def find_idempotency_entry(
    database: Database, key: str, *, now: datetime
) -> IdempotencyEntry | None:
    """The use of a key by `registerTeam`; None for an unused or expired key."""
    rows = await database.fetch(_FIND_IDEMPOTENCY_ENTRY, operation=REGISTER_TEAM, key=key)
    # Compared here: with a condition on expires_at, a plan made while the table was empty could use
    # the index on expires_at for good.
    if not rows or rows[0]["expires_at"] <= now:
        return None
    return IdempotencyEntry(fingerprint=rows[0]["fingerprint"], object_id=rows[0]["team_id"])
