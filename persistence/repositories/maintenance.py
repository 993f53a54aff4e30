"""Statements of maintenance jobs: compare counters, delete expired keys, lease a job."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from persistence.models import IS_LIVE
from persistence.repositories.base import Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A counter of live teams that differs from their number. `entity`: table name and id."""

    entity: str
    taken: int
    live_teams: int


_DRIFT = text(f"""
    SELECT * FROM (
        SELECT 'tournament ' || t.id AS entity, t.taken,
               (SELECT count(*) FROM team WHERE tournament_id = t.id AND {IS_LIVE}) AS live_teams
        FROM tournament t
        UNION ALL
        SELECT 'church ' || c.id, c.taken,
               (SELECT count(*) FROM team WHERE church_id = c.id AND {IS_LIVE})
        FROM church c
    ) counted WHERE taken <> live_teams
""")  # noqa: S608  - only a constant is interpolated


_ACQUIRE_LEASE = text("""
    INSERT INTO idempotency_record AS r (operation, key, fingerprint, team_id, expires_at)
    VALUES (:job, '', '', gen_random_uuid(), :until)
    ON CONFLICT (operation, key) DO UPDATE SET expires_at = excluded.expires_at
    WHERE r.expires_at <= :now
    RETURNING true
""")


class MaintenanceRepository(Repository):
    """Leases of jobs, expired rows and drifted counters."""

    async def find_drift(self) -> list[Drift]:
        """List the counters that are wrong."""
        rows = await self._execute(_DRIFT)
        return [
            Drift(entity=row.entity, taken=row.taken, live_teams=row.live_teams) for row in rows
        ]

    async def acquire_job_lease(self, job: str, *, now: datetime, until: datetime) -> bool:
        """Lease a job until then. True for one process; False while another holds the lease."""
        result = await self._execute(_ACQUIRE_LEASE, {"job": job, "now": now, "until": until})
        return result.first() is not None

    async def delete_expired_keys(self, *, now: datetime) -> int:
        """Delete expired idempotency records. Returns their number."""
        return await self._count_rows(
            text("DELETE FROM idempotency_record WHERE expires_at <= :now"), {"now": now}
        )
