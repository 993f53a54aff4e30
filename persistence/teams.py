"""One team with its church, players and documents."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.documents import DocumentKind
from domain.form import PersonEntry, PlayerRole
from domain.status import TeamStatus
from persistence import documents as documents_of
from persistence.records import ChurchRecord, DocumentRecord, PlayerRecord, TeamRecord
from persistence.tables import church, player, team, tournament

_TEAM = (
    select(
        team,
        church.c.name.label("church_name"),
        church.c.taken.label("church_taken"),
        tournament.c.teams_per_church,
        tournament.c.required_documents,
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
    return _team(rows, await documents_of.of_team(connection, team_id)) if rows else None


async def find(connection: AsyncConnection, reference: str) -> TeamRecord | None:
    """The team with this id or code."""
    team_id = await connection.scalar(select(team.c.id).where(is_called(reference)))
    return await find_by_id(connection, team_id) if team_id else None


def is_called(reference: str) -> ColumnElement[bool]:
    """The condition for an id, in hex, or a code."""
    try:
        return team.c.id == UUID(reference)
    except ValueError:
        return team.c.code == reference.strip().upper()


async def status(connection: AsyncConnection, team_id: UUID) -> TeamStatus | None:
    found = await connection.scalar(select(team.c.status).where(team.c.id == team_id))
    return TeamStatus(found) if found else None


def _team(rows: Any, documents: Sequence[DocumentRecord]) -> TeamRecord:
    first = rows[0]
    owned: dict[UUID | None, list[DocumentRecord]] = {}
    for document in documents:
        owned.setdefault(document.player_id, []).append(document)
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
        players=tuple(_player(row, owned.get(row.player_id, ())) for row in rows),
        documents=tuple(owned.get(None, ())),
        required_documents=tuple(DocumentKind(kind) for kind in first.required_documents),
    )


def _person(row: Any, prefix: str) -> PersonEntry:
    return PersonEntry(
        name=getattr(row, f"{prefix}_name"),
        phone=getattr(row, f"{prefix}_phone"),
        whatsapp=getattr(row, f"{prefix}_whatsapp"),
        email=getattr(row, f"{prefix}_email"),
    )


def _player(row: Any, documents: Sequence[DocumentRecord]) -> PlayerRecord:
    return PlayerRecord(
        id=row.player_id,
        position=row.position,
        name=row.player_name,
        role=PlayerRole(row.role) if row.role else None,
        jersey_number=row.jersey_number,
        date_of_birth=row.date_of_birth,
        documents=tuple(documents),
    )
