"""Read teams with their church, players and documents."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select

from domain.documents import DocumentKind
from domain.ids import parse_uuid
from domain.registration.forms import PlayerRole, ValidPerson
from domain.teams.codes import normalize_code
from domain.teams.status import TeamStatus
from persistence.models import church, player, team, tournament
from persistence.records import ChurchRecord, DocumentRecord, PlayerRecord, TeamRecord
from persistence.repositories.base import Repository
from persistence.repositories.documents import DocumentRepository

_PLAYER_COLUMNS = (
    player.c.id.label("player_id"),
    player.c.position,
    player.c.name.label("player_name"),
    player.c.role,
    player.c.jersey_number,
    player.c.date_of_birth,
)
# Teams with their church and required documents, without players.
SELECT_TEAM = (
    select(
        team,
        church.c.name.label("church_name"),
        church.c.taken.label("church_taken"),
        tournament.c.teams_per_church,
        tournament.c.required_documents,
    )
    .join(church, church.c.id == team.c.church_id)
    .join(tournament, tournament.c.id == team.c.tournament_id)
)
_TEAM_WITH_PLAYERS = (
    SELECT_TEAM.add_columns(*_PLAYER_COLUMNS)
    .join(player, player.c.team_id == team.c.id)
    .order_by(player.c.position)
)


def matches_reference(reference: str) -> ColumnElement[bool]:
    """The condition that a team has this id (in hex) or code."""
    column_name, value = parse_reference(reference)
    return team.c[column_name] == value


def parse_reference(reference: str) -> tuple[str, UUID | str]:
    """The name of the column for an id (in hex) or a code, and the value to compare it with."""
    team_id = parse_uuid(reference)
    return ("id", team_id) if team_id is not None else ("code", normalize_code(reference))


def references_team(column: ColumnElement[Any], reference: str) -> ColumnElement[bool]:
    """The condition that a column refers to the team with this id or code.

    With an id the team need not exist: it may have been erased.
    """
    column_name, value = parse_reference(reference)
    if column_name == "id":
        return column == value
    return column.in_(select(team.c.id).where(team.c[column_name] == value))


def build_team(
    row: Any, player_rows: Iterable[Any], team_documents: Sequence[DocumentRecord]
) -> TeamRecord:
    """Build from a row of SELECT_TEAM and the rows of its players and documents."""
    by_player: dict[UUID | None, list[DocumentRecord]] = {}
    for document in team_documents:
        by_player.setdefault(document.player_id, []).append(document)
    return TeamRecord(
        id=row.id,
        code=row.code,
        name=row.name,
        status=TeamStatus(row.status),
        version=row.version,
        manage_generation=row.manage_generation,
        registered_at=row.registered_at,
        updated_at=row.updated_at,
        church=ChurchRecord(
            id=row.church_id,
            name=row.church_name,
            taken=row.church_taken,
            limit=row.teams_per_church,
        ),
        captain=_person(row, "captain"),
        vice_captain=_person(row, "vice_captain"),
        players=tuple(
            _player(player_row, by_player.get(player_row.player_id, ()))
            for player_row in player_rows
        ),
        documents=tuple(by_player.get(None, ())),
        required_documents=tuple(DocumentKind(kind) for kind in row.required_documents),
    )


def _person(row: Any, prefix: str) -> ValidPerson:
    return ValidPerson(
        name=getattr(row, f"{prefix}_name"),
        phone=getattr(row, f"{prefix}_phone"),
        whatsapp=getattr(row, f"{prefix}_whatsapp"),
        email=getattr(row, f"{prefix}_email"),
    )


def _player(row: Any, player_documents: Sequence[DocumentRecord]) -> PlayerRecord:
    return PlayerRecord(
        id=row.player_id,
        position=row.position,
        name=row.player_name,
        role=PlayerRole(row.role) if row.role else None,
        jersey_number=row.jersey_number,
        date_of_birth=row.date_of_birth,
        documents=tuple(player_documents),
    )


class TeamRepository(Repository):
    """Teams with their church, players and documents."""

    async def find_by_id(self, team_id: UUID) -> TeamRecord | None:
        rows = (await self._execute(_TEAM_WITH_PLAYERS.where(team.c.id == team_id))).all()
        if not rows:
            return None
        return build_team(
            rows[0], rows, await DocumentRepository(self._session).list_by_teams([team_id])
        )

    async def find(self, reference: str) -> TeamRecord | None:
        """The team with this id or code."""
        team_id = await self._session.scalar(select(team.c.id).where(matches_reference(reference)))
        return await self.find_by_id(team_id) if team_id else None

    async def get_status(self, team_id: UUID) -> TeamStatus | None:
        status = await self._session.scalar(select(team.c.status).where(team.c.id == team_id))
        return TeamStatus(status) if status else None

    async def list_player_rows(self, team_ids: Collection[UUID]) -> Mapping[UUID, list[Any]]:
        """Rows of the players of these teams by team id, in order of position."""
        rows = await self._execute(
            select(player.c.team_id, *_PLAYER_COLUMNS)
            .where(player.c.team_id.in_(team_ids))
            .order_by(player.c.team_id, player.c.position)
        )
        by_team: dict[UUID, list[Any]] = {}
        for row in rows:
            by_team.setdefault(row.team_id, []).append(row)
        return by_team
