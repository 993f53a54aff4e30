"""Teams with their church, players and documents: read them, change them under a lock."""

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, SQLColumnExpression, delete, select, update
from sqlalchemy.orm import contains_eager, joinedload, selectinload
from sqlmodel import col

from domain.documents import DocumentKind, DocumentReview
from domain.ids import parse_uuid
from domain.registration.forms import ValidPerson, ValidPlayer, ValidTeam
from domain.teams.codes import normalize_code
from domain.teams.status import TeamStatus
from persistence.models import (
    IS_CURRENT,
    IS_PENDING,
    Church,
    Decision,
    Document,
    OutboxMessage,
    Player,
    Team,
    Tournament,
)
from persistence.records import ChurchRecord, DocumentRecord, LockedTeam, PlayerRecord, TeamRecord
from persistence.repositories.base import Repository, shared_values
from persistence.repositories.documents import document_record
from persistence.repositories.registration import duplicates_as_issues, person_columns

# Teams with their church and tournament. Rows that the session has read before are read again,
# since statements may have changed them.
SELECT_TEAM: Any = (
    select(Team)
    .join(Church, col(Church.id) == Team.church_id)
    .join(Tournament, col(Tournament.id) == Team.tournament_id)
    .options(
        contains_eager(Team.church),  # type: ignore[arg-type]
        contains_eager(Team.tournament),  # type: ignore[arg-type]
    )
    .execution_options(populate_existing=True)
)
LOAD_PLAYERS = selectinload(Team.players)  # type: ignore[arg-type]
LOAD_DOCUMENTS = selectinload(Team.documents.and_(IS_CURRENT))  # type: ignore[attr-defined]
# The players in the statement of the team, so that both are of the same moment.
_WITH_PLAYERS_AND_DOCUMENTS = SELECT_TEAM.options(
    joinedload(Team.players, innerjoin=True),  # type: ignore[arg-type]
    LOAD_DOCUMENTS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayerValues:
    """The new values of a player's row."""

    id: UUID
    position: int
    valid_player: ValidPlayer


def matches_reference(reference: str) -> ColumnElement[bool]:
    """The condition that a team has this id (in hex) or code."""
    column_name, value = parse_reference(reference)
    return col(getattr(Team, column_name)) == value


def parse_reference(reference: str) -> tuple[str, UUID | str]:
    """The name of the column for an id (in hex) or a code, and the value to compare it with."""
    team_id = parse_uuid(reference)
    return ("id", team_id) if team_id is not None else ("code", normalize_code(reference))


def references_team(column: SQLColumnExpression[Any], reference: str) -> ColumnElement[bool]:
    """The condition that a column refers to the team with this id or code.

    With an id the team need not exist: it may have been erased.
    """
    column_name, value = parse_reference(reference)
    if column_name == "id":
        return column == value
    return column.in_(select(col(Team.id)).where(matches_reference(reference)))


def team_record(team: Team, players: Iterable[Player], documents: Iterable[Document]) -> TeamRecord:
    """Build from a team that was read with its church and tournament."""
    by_player: dict[UUID | None, list[DocumentRecord]] = {}
    for document in documents:
        by_player.setdefault(document.player_id, []).append(document_record(document))
    return TeamRecord(
        **shared_values(TeamRecord, team),
        church=ChurchRecord(
            **shared_values(ChurchRecord, team.church), limit=team.tournament.teams_per_church
        ),
        captain=_person(team, "captain"),
        vice_captain=_person(team, "vice_captain"),
        players=tuple(
            PlayerRecord(
                **shared_values(PlayerRecord, player),
                documents=tuple(by_player.get(player.id, ())),
            )
            for player in players
        ),
        documents=tuple(by_player.get(None, ())),
        required_documents=tuple(DocumentKind(k) for k in team.tournament.required_documents),
    )


def _person(team: Team, prefix: str) -> ValidPerson:
    return ValidPerson(
        name=getattr(team, f"{prefix}_name"),
        phone=getattr(team, f"{prefix}_phone"),
        whatsapp=getattr(team, f"{prefix}_whatsapp"),
        email=getattr(team, f"{prefix}_email"),
    )


def _player_columns(player: PlayerValues) -> dict[str, Any]:
    return {"id": player.id, "position": player.position, **asdict(player.valid_player)}


class TeamRepository(Repository):
    """Teams with their church, players and documents.

    A team is changed by updates of its row, which `lock` has locked. Its status changes after the
    slots of its church and tournament: it occupies or frees the team's unique name and contacts, so
    a registration with the same values waits for that while it holds the lock on its church.
    Locking the church afterwards would deadlock.
    """

    async def find_by_id(self, team_id: UUID) -> TeamRecord | None:
        return await self._find(col(Team.id) == team_id)

    async def find(self, reference: str) -> TeamRecord | None:
        """The team with this id or code."""
        return await self._find(matches_reference(reference))

    async def _find(self, condition: ColumnElement[bool]) -> TeamRecord | None:
        rows = await self._session.exec(_WITH_PLAYERS_AND_DOCUMENTS.where(condition))
        row = rows.unique().one_or_none()
        return team_record(row.Team, row.Team.players, row.Team.documents) if row else None

    async def find_status(self, team_id: UUID) -> TeamStatus | None:
        status: TeamStatus | None = await self._session.scalar(
            select(col(Team.status)).where(col(Team.id) == team_id)
        )
        return status

    async def lock(self, reference: str) -> LockedTeam | None:
        """Lock the team with this id or code."""
        team = await self._session.scalar(
            select(Team)
            .where(matches_reference(reference))
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        return LockedTeam(**shared_values(LockedTeam, team)) if team else None

    async def update(
        self,
        locked: LockedTeam,
        valid_team: ValidTeam,
        *,
        church_id: UUID,
        next_position: int,
        now: datetime,
    ) -> None:
        """Raises InvalidForm when a live team has the same name, e-mail or phone."""
        await self._update(
            locked,
            now,
            church_id=church_id,
            name=valid_team.team_name,
            normalized_name=valid_team.normalized_team_name,
            **person_columns("captain", valid_team.captain),
            **person_columns("vice_captain", valid_team.vice_captain),
            next_position=next_position,
        )

    async def set_status(self, locked: LockedTeam, status: TeamStatus, *, now: datetime) -> None:
        """Raises InvalidForm when a live team has the same name, e-mail or phone."""
        await self._update(locked, now, status=status)

    async def increment_manage_generation(self, locked: LockedTeam, *, now: datetime) -> int:
        """Invalidate the manage tokens issued so far. Returns the new generation."""
        generation = locked.manage_generation + 1
        await self._update(locked, now, manage_generation=generation)
        return generation

    async def _update(self, locked: LockedTeam, now: datetime, **values: Any) -> None:
        """Set columns and increase the version."""
        statement = update(Team).where(col(Team.id) == locked.id)
        with duplicates_as_issues():
            await self._session.exec(
                statement.values(
                    **values,
                    version=locked.version + 1,
                    last_change=locked.request_fingerprint,
                    updated_at=now,
                )
            )

    async def add_players(self, team_id: UUID, players: Collection[PlayerValues]) -> None:
        self._session.add_all(
            Player(team_id=team_id, **_player_columns(player)) for player in players
        )
        await self._session.flush()

    async def update_players(self, players: Collection[PlayerValues]) -> None:
        # Two players may swap numbers, but the unique constraint is checked for each updated row.
        await self._session.exec(
            update(Player)
            .where(col(Player.id).in_([player.id for player in players]))
            .values(jersey_number=None)
        )
        await self._session.exec(
            update(Player), params=[_player_columns(player) for player in players]
        )

    async def remove_players(self, player_ids: Collection[UUID]) -> None:
        """Delete players. Their documents have to be deleted before."""
        await self._session.exec(delete(Player).where(col(Player.id).in_(player_ids)))

    async def set_document_review(
        self,
        locked: LockedTeam,
        document_id: UUID,
        *,
        verdict: DocumentReview,
        note: str | None,
    ) -> bool:
        """Store the review of a document. False when the team has no such current document."""
        result = await self._session.exec(
            update(Document)
            .where(col(Document.id) == document_id, col(Document.team_id) == locked.id, IS_CURRENT)
            .values(review=verdict, review_note=note)
        )
        return bool(result.rowcount)

    async def delete(self, locked: LockedTeam, *, move_kind: str) -> None:
        """Delete a team and all rows about its people. Its documents have to be deleted before.

        Audit events and idempotency records stay. So do messages of `move_kind`, which move its
        files, that a worker has leased: they stay without a team, so that it can finish.
        """
        await self._session.exec(
            update(OutboxMessage)
            .where(
                col(OutboxMessage.team_id) == locked.id,
                col(OutboxMessage.kind) == move_kind,
                col(OutboxMessage.attempts) > 0,
                IS_PENDING,
            )
            .values(team_id=None)
        )
        for model in (OutboxMessage, Decision, Player):
            await self._session.exec(delete(model).where(col(model.team_id) == locked.id))
        await self._session.exec(delete(Team).where(col(Team.id) == locked.id))
