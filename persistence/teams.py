"""One team with its church and players, in one statement."""

from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.form import PersonEntry, PlayerRole
from domain.status import TeamStatus
from persistence.records import ChurchRecord, PlayerRecord, TeamRecord
from persistence.tables import church, player, team, tournament

_TEAM = (
    select(
        team,
        church.c.name.label("church_name"),
        church.c.taken.label("church_taken"),
        tournament.c.teams_per_church,
        player.c.id.label("player_id"),
        player.c.position,
        player.c.name.label("player_name"),
        player.c.role,
        player.c.jersey_number,
        player.c.date_of_birth,
    )
    .join(church, church.c.id == team.c.church_id)
    .join(tournament, tournament.c.id == team.c.tournament_id)
    .join(player, player.c.team_id == team.c.id)
    .order_by(player.c.position)
)


async def find_by_id(connection: AsyncConnection, team_id: UUID) -> TeamRecord | None:
    rows = (await connection.execute(_TEAM.where(team.c.id == team_id))).all()
    return _team(rows) if rows else None


def _team(rows: Any) -> TeamRecord:
    first = rows[0]
    return TeamRecord(
        id=first.id,
        code=first.code,
        name=first.name,
        status=TeamStatus(first.status),
        version=first.version,
        manage_generation=first.manage_generation,
        registered_at=first.registered_at,
        updated_at=first.updated_at,
        church=ChurchRecord(
            id=first.church_id,
            name=first.church_name,
            taken=first.church_taken,
            limit=first.teams_per_church,
        ),
        captain=_person(first, "captain"),
        vice_captain=_person(first, "vice_captain"),
        players=tuple(_player(row) for row in rows),
    )


def _person(row: Any, prefix: str) -> PersonEntry:
    return PersonEntry(
        name=getattr(row, f"{prefix}_name"),
        phone=getattr(row, f"{prefix}_phone"),
        whatsapp=getattr(row, f"{prefix}_whatsapp"),
        email=getattr(row, f"{prefix}_email"),
    )


def _player(row: Any) -> PlayerRecord:
    return PlayerRecord(
        id=row.player_id,
        position=row.position,
        name=row.player_name,
        role=PlayerRole(row.role) if row.role else None,
        jersey_number=row.jersey_number,
        date_of_birth=row.date_of_birth,
    )
