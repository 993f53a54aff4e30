"""Churches: pages by name, and merging two of them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select, text, update
from sqlalchemy.exc import IntegrityError

from persistence.engine.errors import violated_constraint
from persistence.models import IS_LIVE, church, church_alias, team, tournament
from persistence.pagination import KeysetOrder, Page, PageRequest, read_page
from persistence.records import ChurchRecord
from persistence.repositories.base import Repository

BY_NAME = KeysetOrder(columns=(church.c.name, church.c.id))


def _record(row: Any) -> ChurchRecord:
    return ChurchRecord(id=row.id, name=row.name, taken=row.taken, limit=row.teams_per_church)


def filter_churches(statement: Select[Any], search: str) -> Select[Any]:
    """Restrict to churches of the active tournament with a live team, and to `search` if any."""
    joined = statement.join(
        tournament, (tournament.c.id == church.c.tournament_id) & tournament.c.is_active
    ).where(church.c.taken > 0)
    if not search:
        return joined
    return joined.where(church.c.normalized_name.contains(search, autoescape=True))


_RECOUNT = text(f"""
    UPDATE church SET taken = (
        SELECT count(*) FROM team WHERE church_id = :church_id AND {IS_LIVE})
    WHERE id = :church_id RETURNING taken
""")  # noqa: S608 - only a constant is interpolated
_TEAM_NAME_CONSTRAINT = "uq_team_live_name"


class SameTeamName(Exception):
    """Both churches have a live team with the same name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedChurch:
    """A church that is locked for a merge."""

    id: UUID
    tournament_id: UUID
    name: str
    normalized_name: str


class ChurchRepository(Repository):
    """Churches of a season: pages by name, and merging two of them."""

    async def page(self, *, search: str, request: PageRequest) -> Page[ChurchRecord]:
        """Churches with a live team, by name. `search` is part of the normalised name."""
        statement = filter_churches(
            select(church.c.id, church.c.name, church.c.taken, tournament.c.teams_per_church),
            search,
        )
        return await read_page(self._session, statement, BY_NAME, request, _record)

    async def count(self, *, search: str) -> int:
        statement = filter_churches(select(func.count()).select_from(church), search)
        return int((await self._execute(statement)).scalar_one())

    async def find_by_name(self, tournament_id: UUID, normalized_name: str) -> UUID | None:
        """The id of the church with this normalised name or alias."""
        alias = select(church_alias.c.church_id).where(
            church_alias.c.tournament_id == tournament_id,
            church_alias.c.normalized_name == normalized_name,
        )
        by_name = select(church.c.id).where(
            church.c.tournament_id == tournament_id, church.c.normalized_name == normalized_name
        )
        church_id: UUID | None = await self._session.scalar(alias.union_all(by_name).limit(1))
        return church_id

    async def rename(self, church_id: UUID, name: str) -> None:
        """Change the spelling of a name. Its normalised form has to stay the same."""
        await self._execute(church.update().where(church.c.id == church_id).values(name=name))

    async def find(self, church_id: UUID) -> ChurchRecord | None:
        """The church with this id, of any season."""
        statement = (
            select(church.c.id, church.c.name, church.c.taken, tournament.c.teams_per_church)
            .join(tournament, tournament.c.id == church.c.tournament_id)
            .where(church.c.id == church_id)
        )
        row = (await self._execute(statement)).one_or_none()
        return _record(row) if row else None

    async def lock_pair(self, church_ids: tuple[UUID, UUID]) -> dict[UUID, MergedChurch]:
        """Lock the teams of two churches, then the churches: the order of decisions.

        Returns the churches that exist, by id.
        """
        await self._execute(
            select(team.c.id)
            .where(team.c.church_id.in_(church_ids))
            .order_by(team.c.id)
            .with_for_update()
        )
        rows = await self._execute(
            select(church.c.id, church.c.tournament_id, church.c.name, church.c.normalized_name)
            .where(church.c.id.in_(church_ids))
            .order_by(church.c.id)
            .with_for_update()
        )
        return {row.id: MergedChurch(**row._asdict()) for row in rows}

    async def move_teams(
        self, source: MergedChurch, target: MergedChurch, *, now: datetime
    ) -> list[UUID]:
        """Move all teams of `source` to `target` and increase their versions. Returns their ids.

        Raises SameTeamName.
        """
        try:
            rows = await self._execute(
                update(team)
                .where(team.c.church_id == source.id)
                .values(church_id=target.id, version=team.c.version + 1, updated_at=now)
                .returning(team.c.id)
            )
        except IntegrityError as error:
            if violated_constraint(error) == _TEAM_NAME_CONSTRAINT:
                raise SameTeamName from error
            raise
        return sorted(rows.scalars())

    async def delete_merged(self, source: MergedChurch, target: MergedChurch) -> ChurchRecord:
        """Delete `source`, make its names aliases of `target`, and recount its teams."""
        await self._execute(
            update(church_alias)
            .where(church_alias.c.church_id == source.id)
            .values(church_id=target.id)
        )
        await self._execute(church.delete().where(church.c.id == source.id))
        await self._execute(
            church_alias.insert().values(
                tournament_id=source.tournament_id,
                normalized_name=source.normalized_name,
                church_id=target.id,
            )
        )
        taken = await self._session.scalar(_RECOUNT, {"church_id": target.id})
        limit = await self._session.scalar(
            select(tournament.c.teams_per_church).where(tournament.c.id == target.tournament_id)
        )
        return ChurchRecord(id=target.id, name=target.name, taken=int(taken or 0), limit=limit)
