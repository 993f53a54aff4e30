"""Work of now and then: comparing counts, forgetting keys, taking turns."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from persistence.models import IS_LIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A count that a lock guards and the rows that it counts, where they differ."""

    entity: str
    taken: int
    live_teams: int


_DRIFT = text(f"""
    SELECT * FROM (
        SELECT 'tournament ' || t.id AS of, t.taken,
               (SELECT count(*) FROM team WHERE tournament_id = t.id AND {IS_LIVE}) AS live_teams
        FROM tournament t
        UNION ALL
        SELECT 'church ' || c.id, c.taken,
               (SELECT count(*) FROM team WHERE church_id = c.id AND {IS_LIVE})
        FROM church c
    ) counted WHERE taken <> live_teams
""")  # noqa: S608  # IS_LIVE is a constant of ours


async def find_drift(connection: AsyncConnection) -> list[Drift]:
    """Empty while every count is right."""
    rows = await connection.execute(_DRIFT)
    return [Drift(entity=row.entity, taken=row.taken, live_teams=row.live_teams) for row in rows]


_TAKE_TURN = text("""
    INSERT INTO idempotency_record AS r (operation, key, fingerprint, team_id, expires_at)
    VALUES (:work, '', '', gen_random_uuid(), :until)
    ON CONFLICT (operation, key) DO UPDATE SET expires_at = excluded.expires_at
    WHERE r.expires_at <= :now
    RETURNING true
""")


async def acquire_job_lease(
    connection: AsyncConnection, work: str, *, now: datetime, until: datetime
) -> bool:
    """True for one process: no other one of this database takes this work before `until`."""
    result = await connection.execute(_TAKE_TURN, {"work": work, "now": now, "until": until})
    return result.first() is not None


async def delete_expired_keys(connection: AsyncConnection, *, now: datetime) -> int:
    """How many idempotency records had expired and are gone."""
    result = await connection.execute(
        text("DELETE FROM idempotency_record WHERE expires_at <= :now"), {"now": now}
    )
    return int(result.rowcount)
