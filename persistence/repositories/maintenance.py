"""Maintenance jobs: compare counters, delete expired keys, lease a job."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, delete, func
from sqlmodel import col, select

from persistence.models import IS_LIVE, Church, IdempotencyRecord, Team, Tournament
from persistence.repositories.base import Repository
from persistence.repositories.idempotency import insert_or_replace_expired


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A counter of live teams that differs from their number. `entity`: table name and id."""

    entity: str
    taken: int
    live_teams: int


class MaintenanceRepository(Repository):
    """Leases of jobs, expired rows and drifted counters."""

    async def list_drift(self) -> list[Drift]:
        """The counters that are wrong."""
        tournaments = await self._list_drift(Tournament, Team.tournament_id)
        return tournaments + await self._list_drift(Church, Team.church_id)

    async def _list_drift(self, owner: type[Tournament | Church], owner_id: UUID) -> list[Drift]:
        """Compare the counters of tournaments or churches. `owner_id`: the column of teams."""
        live_teams = func.count(col(Team.id))
        rows = await self._session.exec(
            select(owner.id, owner.taken, live_teams)
            .outerjoin(Team, and_(col(owner_id) == owner.id, IS_LIVE))
            .group_by(col(owner.id))
            .having(col(owner.taken) != live_teams)
        )
        return [
            Drift(entity=f"{owner.__tablename__} {row_id}", taken=taken, live_teams=number)
            for row_id, taken, number in rows
        ]

    async def acquire_job_lease(self, job: str, *, now: datetime, until: datetime) -> bool:
        """Lease a job until then. True for one process; False while another holds the lease."""
        # Leases are stored as idempotency records: the operation is the job, `expires_at` the end.
        # The other columns need a value, but mean nothing.
        lease = IdempotencyRecord(
            operation=job, key="", fingerprint=b"", team_id=UUID(int=0), expires_at=until
        )
        return await self._session.scalar(insert_or_replace_expired(lease, now=now)) is not None

    async def delete_expired_keys(self, *, now: datetime) -> int:
        """Delete expired idempotency records. Returns their number."""
        statement = delete(IdempotencyRecord).where(col(IdempotencyRecord.expires_at) <= now)
        return (await self._session.exec(statement)).rowcount
