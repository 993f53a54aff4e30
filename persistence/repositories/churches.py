"""Churches: pages by name, and merging two of them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy
from sqlalchemy import Select, delete, func, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import contains_eager, joinedload
from sqlmodel import col, select
from sqlmodel.sql.expression import SelectOfScalar

from persistence.engine.errors import violated_constraint
from persistence.models import IS_LIVE, Church, ChurchAlias, Team, Tournament, church
from persistence.pagination import KeysetOrder, Page, PageRequest, read_page
from persistence.records import ChurchRecord
from persistence.repositories.base import Repository, shared_values

BY_NAME = KeysetOrder(columns=(church.c.name, church.c.id))
# For mypy, which takes it for a tournament.
_TOURNAMENT: Any = Church.tournament
_TEAM_NAME_CONSTRAINT = "uq_team_live_name"


def _record(church: Church) -> ChurchRecord:
    """Build from a church with its tournament."""
    values = shared_values(ChurchRecord, church)
    return ChurchRecord(**values, limit=church.tournament.teams_per_church)


def _select(church_id: UUID) -> SelectOfScalar[Church]:
    return select(Church).where(Church.id == church_id).options(joinedload(_TOURNAMENT))


def filter_churches(statement: Select[Any], search: str) -> Select[Any]:
    """Restrict to churches of the active tournament with a live team, and to `search` if any."""
    joined = statement.join(
        Tournament, (col(Tournament.id) == Church.tournament_id) & col(Tournament.is_active)
    ).where(col(Church.taken) > 0)
    if not search:
        return joined
    return joined.where(col(Church.normalized_name).contains(search, autoescape=True))


class SameTeamName(Exception):
    """Both churches have a live team with the same name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedChurch:
    """A church that is locked for a merge."""

    id: UUID
    tournament_id: UUID
    name: str
    normalized_name: str


class ChurchRepository(Repository):
    """Churches of a season: pages by name, and merging two of them."""

    async def page(self, *, search: str, request: PageRequest) -> Page[ChurchRecord]:
        """Churches with a live team, by name. `search` is part of the normalised name."""
        statement = filter_churches(sqlalchemy.select(Church), search).options(
            contains_eager(_TOURNAMENT)
        )
        return await read_page(
            self._session, statement, BY_NAME, request, lambda row: _record(row.Church)
        )

    async def count(self, *, search: str) -> int:
        statement = filter_churches(select(func.count()).select_from(Church), search)
        return await self._session.scalar(statement) or 0

    async def find(self, church_id: UUID) -> ChurchRecord | None:
        """The church with this id, of any season."""
        church = (await self._session.exec(_select(church_id))).one_or_none()
        return _record(church) if church else None

    async def find_id_by_name(self, tournament_id: UUID, normalized_name: str) -> UUID | None:
        """The id of the church with this normalised name or alias."""
        # One statement, since a merge may turn the name into an alias between two.
        alias = select(ChurchAlias.church_id).where(
            ChurchAlias.tournament_id == tournament_id,
            ChurchAlias.normalized_name == normalized_name,
        )
        by_name = select(Church.id).where(
            Church.tournament_id == tournament_id, Church.normalized_name == normalized_name
        )
        church_id: UUID | None = await self._session.scalar(alias.union_all(by_name).limit(1))
        return church_id

    async def rename(self, church_id: UUID, name: str) -> None:
        """Change the spelling of a name. Its normalised form has to stay the same."""
        await self._session.exec(
            update(Church).where(col(Church.id) == church_id).values(name=name)
        )

    async def lock_pair(self, church_ids: tuple[UUID, UUID]) -> dict[UUID, LockedChurch]:
        """Lock the teams of two churches, then the churches: the order of decisions.

        Returns the churches that exist, by id.
        """
        team_ids = select(Team.id).where(col(Team.church_id).in_(church_ids)).order_by(col(Team.id))
        while True:
            savepoint = await self._session.begin_nested()
            locked_ids = (await self._session.exec(team_ids.with_for_update())).all()
            churches = (
                await self._session.exec(
                    select(Church)
                    .where(col(Church.id).in_(church_ids))
                    .order_by(col(Church.id))
                    .with_for_update()
                    .execution_options(populate_existing=True)
                )
            ).all()
            # A team may have joined before the churches were locked. Waiting for it now would be
            # against the order: the savepoint releases all locks, to take them again.
            if (await self._session.exec(team_ids)).all() == locked_ids:
                break
            await savepoint.rollback()
        return {
            church.id: LockedChurch(**shared_values(LockedChurch, church)) for church in churches
        }

    async def move_teams(
        self, source: LockedChurch, target: LockedChurch, *, now: datetime
    ) -> list[UUID]:
        """Move all teams of `source` to `target` and increase their versions. Returns their ids.

        Raises SameTeamName.
        """
        statement = (
            update(Team)
            .where(col(Team.church_id) == source.id)
            .values(church_id=target.id, version=col(Team.version) + 1, updated_at=now)
            .returning(col(Team.id))
        )
        try:
            team_ids = await self._session.exec(statement)
        except IntegrityError as error:
            if violated_constraint(error) == _TEAM_NAME_CONSTRAINT:
                raise SameTeamName from error
            raise
        return sorted(team_ids.scalars())

    async def delete_merged(self, source: LockedChurch, target: LockedChurch) -> ChurchRecord:
        """Delete `source`, make its names aliases of `target`, and recount its teams."""
        await self._session.exec(
            update(ChurchAlias)
            .where(col(ChurchAlias.church_id) == source.id)
            .values(church_id=target.id)
        )
        await self._session.exec(delete(Church).where(col(Church.id) == source.id))
        self._session.add(
            ChurchAlias(
                tournament_id=source.tournament_id,
                normalized_name=source.normalized_name,
                church_id=target.id,
            )
        )
        live_teams = (
            select(func.count()).select_from(Team).where(Team.church_id == target.id, IS_LIVE)
        )
        church = (await self._session.exec(_select(target.id))).one()
        church.taken = (await self._session.exec(live_teams)).one()
        await self._session.flush()
        return _record(church)
