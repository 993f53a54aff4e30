"""Statistics and duplicate players over all teams of the active tournament."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import text

from domain.documents import DocumentReview
from domain.teams.codes import player_code
from domain.teams.status import LIVE_STATUSES, TeamStatus
from persistence.models import IS_CURRENT, IS_LIVE
from persistence.repositories.base import Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicatePlayer:
    """A player with the same name and date of birth as a player of another live team.

    `other_code` is the code of the other player.
    """

    team_id: UUID
    position: int
    other_code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamStats:
    """Counts of teams; of players, churches and current documents only those of live teams.

    `by_day` uses days in the tournament's time zone.
    """

    by_status: Mapping[TeamStatus, int]
    players: int
    churches: int
    documents: Mapping[DocumentReview, int]
    by_day: Mapping[date, int]


_TEAMS = "FROM team t JOIN tournament s ON s.id = t.tournament_id AND s.is_active"

# ruff: noqa: S608 - only constants are interpolated
_BY_STATUS = text(f"SELECT t.status, count(*) AS teams {_TEAMS} GROUP BY t.status")
_BY_DAY = text(f"""
    SELECT CAST(t.registered_at AT TIME ZONE s.time_zone AS date) AS day, count(*) AS teams
    {_TEAMS} GROUP BY day ORDER BY day
""")
_LIVE = text(f"""
    SELECT count(DISTINCT t.church_id) AS churches,
           coalesce(sum((SELECT count(*) FROM player p WHERE p.team_id = t.id)), 0) AS players
    {_TEAMS} WHERE {IS_LIVE}
""")
_BY_REVIEW = text(f"""
    SELECT d.review, count(*) AS documents
    {_TEAMS} JOIN document d ON d.team_id = t.id
    WHERE {IS_LIVE} AND {IS_CURRENT} GROUP BY d.review
""")

_SAME_PLAYERS = text("""
    SELECT p.team_id, p.position, other_team.code, other.position AS other_position
    FROM player p
    JOIN team t ON t.id = p.team_id
    JOIN player other
        ON other.normalized_name = p.normalized_name AND other.date_of_birth = p.date_of_birth
        AND other.team_id <> p.team_id
    JOIN team other_team
        ON other_team.id = other.team_id AND other_team.tournament_id = t.tournament_id
        AND other_team.status = ANY(:live)
    WHERE p.team_id = ANY(:team_ids)
    ORDER BY p.team_id, p.position, length(other_team.code), other_team.code, other.position
""")


class TeamStatsRepository(Repository):
    """Statistics and duplicate players of the active tournament."""

    async def get_stats(self) -> TeamStats:
        by_status = await self._execute(_BY_STATUS)
        live = (await self._execute(_LIVE)).one()
        by_review = await self._execute(_BY_REVIEW)
        by_day = await self._execute(_BY_DAY)
        return TeamStats(
            by_status={TeamStatus(row.status): row.teams for row in by_status},
            players=int(live.players),
            churches=live.churches,
            documents={DocumentReview(row.review): row.documents for row in by_review},
            by_day={row.day: row.teams for row in by_day},
        )

    async def list_duplicate_players(self, team_ids: Collection[UUID]) -> list[DuplicatePlayer]:
        """Players of these teams who are in another live team too, by team and position."""
        values = {"team_ids": list(team_ids), "live": sorted(LIVE_STATUSES)}
        rows = await self._execute(_SAME_PLAYERS, values)
        return [
            DuplicatePlayer(
                team_id=row.team_id,
                position=row.position,
                other_code=player_code(row.code, row.other_position),
            )
            for row in rows
        ]
