"""The transaction of a registration whose form is valid."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from domain.errors import ChurchLimitReached, DomainError, TournamentFull
from domain.form import DocumentForm, TeamEntry, TeamForm
from domain.rules import require_open
from domain.status import TeamStatus
from persistence import documents, idempotency, registration, tournaments
from persistence.database import Connection
from persistence.ids import new_id
from persistence.records import (
    ChurchRecord,
    Claim,
    DocumentRecord,
    PlayerRecord,
    Remembered,
    TeamRecord,
    TournamentRecord,
)


class DocumentsTaken(Exception):
    """Another team took one of the documents, or it was given up, since it was looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One registration whose form is valid; `store` may be called again after a failure."""

    tournament: TournamentRecord
    entry: TeamEntry
    squad: tuple[PlayerRecord, ...]
    documents: tuple[DocumentRecord, ...]
    key: str | None
    wanted: Remembered
    now: datetime
    expires_at: datetime
    request_id: str

    async def store(self, connection: Connection) -> TeamRecord | Remembered:
        """The team, or what the key stands for already."""
        if self.key is not None:
            earlier = await idempotency.reserve(
                connection, self.key, self.wanted, now=self.now, expires_at=self.expires_at
            )
            if earlier is not None:
                return earlier
        placed = await registration.store(
            connection,
            self.tournament,
            self.entry,
            self.squad,
            team_id=self.wanted.team_id,
            now=self.now,
            request_id=self.request_id,
        )
        if placed.church is None:
            limit = self.tournament.rules.teams_per_church or 0
            raise ChurchLimitReached(limit=limit, registered=limit)
        if placed.code is None:
            raise await _why_no_number(connection, self.now)
        await self._claim_documents(connection)
        return self._team(placed.code, placed.church)

    async def _claim_documents(self, connection: Connection) -> None:
        claims = [Claim(document_id=document.id, player_id=None) for document in self.documents]
        claims += [
            Claim(document_id=document.id, player_id=player.id)
            for player in self.squad
            for document in player.documents
        ]
        if claims and not await documents.claim(
            connection, self.wanted.team_id, claims, now=self.now
        ):
            raise DocumentsTaken

    def _team(self, code: str, church: ChurchRecord) -> TeamRecord:
        return TeamRecord(
            id=self.wanted.team_id,
            code=code,
            name=self.entry.team_name,
            status=TeamStatus.PENDING,
            version=1,
            manage_generation=1,
            registered_at=self.now,
            updated_at=self.now,
            church=church,
            captain=self.entry.captain,
            vice_captain=self.entry.vice_captain,
            players=self.squad,
            documents=self.documents,
            required_documents=self.tournament.rules.required_documents,
        )


def squad(
    entry: TeamEntry, form: TeamForm, known: Mapping[str, DocumentRecord]
) -> tuple[PlayerRecord, ...]:
    return tuple(
        PlayerRecord(
            id=new_id(),
            position=position,
            name=player.name,
            role=player.role,
            jersey_number=player.jersey_number,
            date_of_birth=player.date_of_birth,
            documents=claimed(given.documents, known),
        )
        for position, (player, given) in enumerate(
            zip(entry.players, form.players, strict=True), start=1
        )
    )


def claimed(
    given: tuple[DocumentForm, ...], known: Mapping[str, DocumentRecord]
) -> tuple[DocumentRecord, ...]:
    return tuple(known[document.document_id] for document in given)


async def _why_no_number(connection: Connection, now: datetime) -> DomainError:
    """The tournament changed between reading its rules and taking a number."""
    tournament = await tournaments.active(connection)
    try:
        require_open(tournament.rules, now)
    except DomainError as not_open:
        return not_open
    return TournamentFull(capacity=tournament.rules.capacity or 0)
