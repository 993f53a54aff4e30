"""Statistics and duplicate players over all teams of the active tournament."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import Date, cast, func
from sqlalchemy.orm import aliased
from sqlmodel import col, select
from sqlmodel.sql.expression import Select

from domain.documents import DocumentReview
from domain.teams.codes import player_code
from domain.teams.status import LIVE_STATUSES, TeamStatus
from persistence.models import IS_CURRENT, Document, Player, Team, Tournament
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


_IS_ACTIVE = col(Tournament.is_active)
_IS_LIVE = col(Team.status).in_(sorted(LIVE_STATUSES))
_BY_STATUS = (
    select(col(Team.status), func.count())
    .join(Tournament)
    .where(_IS_ACTIVE)
    .group_by(col(Team.status))
)
_DAY = cast(func.timezone(Tournament.time_zone, Team.registered_at), Date)
_BY_DAY = (
    select(_DAY.label("day"), func.count())
    .join_from(Team, Tournament)
    .where(_IS_ACTIVE)
    .group_by("day")
    .order_by("day")
)
_SQUAD = select(func.count()).where(col(Player.team_id) == Team.id).scalar_subquery()
_LIVE = (
    select(func.count(col(Team.church_id).distinct()), func.coalesce(func.sum(_SQUAD), 0))
    .join(Tournament)
    .where(_IS_ACTIVE, _IS_LIVE)
)
_BY_REVIEW = (
    select(col(Document.review), func.count())
    .join(Team, col(Team.id) == Document.team_id)
    .join(Tournament)
    .where(_IS_ACTIVE, _IS_LIVE, IS_CURRENT)
    .group_by(col(Document.review))
)

_OTHER_PLAYER, _OTHER_TEAM = aliased(Player), aliased(Team)
_SAME_PLAYERS: Select[UUID, int, str, int] = (
    select(
        col(Player.team_id),
        col(Player.position),
        col(_OTHER_TEAM.code),
        col(_OTHER_PLAYER.position).label("other_position"),
    )
    .join(Team, col(Team.id) == Player.team_id)
    .join(
        _OTHER_PLAYER,
        (col(_OTHER_PLAYER.normalized_name) == Player.normalized_name)
        & (col(_OTHER_PLAYER.date_of_birth) == Player.date_of_birth)
        & (col(_OTHER_PLAYER.team_id) != Player.team_id),
    )
    .join(
        _OTHER_TEAM,
        (col(_OTHER_TEAM.id) == _OTHER_PLAYER.team_id)
        & (col(_OTHER_TEAM.tournament_id) == Team.tournament_id)
        & col(_OTHER_TEAM.status).in_(sorted(LIVE_STATUSES)),
    )
    .order_by(col(Player.team_id), col(Player.position))
    .order_by(func.length(_OTHER_TEAM.code), col(_OTHER_TEAM.code), col(_OTHER_PLAYER.position))
)


class TeamStatsRepository(Repository):
    """Statistics and duplicate players of the active tournament."""

    async def get_stats(self) -> TeamStats:
        by_status = await self._session.exec(_BY_STATUS)
        churches, players = (await self._session.exec(_LIVE)).one()
        by_review = await self._session.exec(_BY_REVIEW)
        by_day = await self._session.exec(_BY_DAY)
        return TeamStats(
            by_status=dict(by_status.all()),
            players=int(players),
            churches=churches,
            documents=dict(by_review.all()),
            by_day=dict(by_day.all()),
        )

    async def list_duplicate_players(self, team_ids: Collection[UUID]) -> list[DuplicatePlayer]:
        """Players of these teams who are in another live team too, by team and position."""
        statement = _SAME_PLAYERS.where(col(Player.team_id).in_(team_ids))
        return [
            DuplicatePlayer(
                team_id=team_id, position=position, other_code=player_code(code, other_position)
            )
            for team_id, position, code, other_position in await self._session.exec(statement)
        ]
