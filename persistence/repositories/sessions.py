"""Sessions of organisers: open, list, record their use, end."""

from dataclasses import asdict
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, or_, update
from sqlmodel import col, select

from persistence.models import OrganiserSession
from persistence.records import SessionRecord
from persistence.repositories.base import Repository, shared_values

MAX_LISTED = 500


def _record(session: OrganiserSession) -> SessionRecord:
    return SessionRecord(**shared_values(SessionRecord, session))


class SessionRepository(Repository):
    """Sessions of organisers. `lookups.find_session` finds the session of a token."""

    def add(self, session: SessionRecord, *, token_hash: bytes) -> None:
        self._session.add(OrganiserSession(**asdict(session), token_hash=token_hash))

    async def list_by_organiser(
        self, organiser_id: UUID, *, now: datetime, idle_since: datetime
    ) -> list[SessionRecord]:
        """Valid sessions, newest first, MAX_LISTED at most."""
        statement = (
            select(OrganiserSession)
            .where(
                OrganiserSession.organiser_id == organiser_id,
                OrganiserSession.expires_at > now,
                OrganiserSession.last_used_at > idle_since,
            )
            .order_by(col(OrganiserSession.id).desc())
            .limit(MAX_LISTED)
        )
        return [_record(session) for session in await self._session.exec(statement)]

    async def touch(self, session_id: UUID, *, now: datetime, precision: timedelta) -> None:
        """Record a use, unless a use less than `precision` ago was recorded."""
        await self._session.exec(
            update(OrganiserSession)
            .where(
                col(OrganiserSession.id) == session_id,
                col(OrganiserSession.last_used_at) <= now - precision,
            )
            .values(last_used_at=now)
        )

    async def delete(self, session_id: UUID, *, organiser_id: UUID | None) -> SessionRecord | None:
        """Delete a session, of this organiser if one is given. None when there is none."""
        statement = delete(OrganiserSession).where(col(OrganiserSession.id) == session_id)
        if organiser_id is not None:
            statement = statement.where(col(OrganiserSession.organiser_id) == organiser_id)
        result = await self._session.exec(statement.returning(OrganiserSession))
        session: OrganiserSession | None = result.scalars().first()
        return _record(session) if session else None

    async def delete_by_organiser(self, organiser_id: UUID) -> int:
        """Delete all sessions of an organiser. Returns their number."""
        statement = delete(OrganiserSession).where(
            col(OrganiserSession.organiser_id) == organiser_id
        )
        return (await self._session.exec(statement)).rowcount

    async def delete_expired(self, *, now: datetime, idle_since: datetime) -> int:
        """Delete sessions that have expired or were idle for too long. Returns their number."""
        statement = delete(OrganiserSession).where(
            or_(
                col(OrganiserSession.expires_at) <= now,
                col(OrganiserSession.last_used_at) <= idle_since,
            )
        )
        return (await self._session.exec(statement)).rowcount
