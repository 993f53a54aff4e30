"""What is stored of a registration whose form is valid."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from domain.errors.exceptions import (
    ChurchLimitReached,
    DomainError,
    ServiceUnavailable,
    TournamentFull,
)
from domain.registration.forms import DocumentForm, TeamEntry, TeamForm
from domain.teams.status import TeamStatus
from domain.tournaments import require_open
from persistence.engine.database import Database
from persistence.fast import register_team
from persistence.fast.register_team import ChurchFull, RegistrationRows, TournamentUnavailable
from persistence.ids import new_ids
from persistence.records import (
    ChurchRecord,
    DocumentClaim,
    DocumentRecord,
    PlayerRecord,
    TeamRecord,
)
from persistence.repositories import tournaments


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One registration whose form is valid."""

    registration: RegistrationRows
    documents: tuple[DocumentRecord, ...]

    async def store(self, database: Database) -> TeamRecord | None:
        """The team; None for a key that was used before.

        Raises ChurchLimitReached, TournamentFull, RegistrationNotOpen, RegistrationClosed,
        InvalidForm, DocumentsTaken, IdempotencyInProgress.
        """
        try:
            answer = self._team("", self._unplaced())
            placed = await register_team.store(database, self.registration, answer=answer)
        except ChurchFull as error:
            limit = self.registration.tournament.rules.teams_per_church or 0
            raise ChurchLimitReached(limit=limit, registered=limit) from error
        except TournamentUnavailable as error:
            raise await _why_no_number(database, self.registration) from error
        return None if placed is None else self._team(placed.code, placed.church)

    def _unplaced(self) -> ChurchRecord:
        """The church as far as it is known before it has given a place."""
        stored = self.registration
        limit = stored.tournament.rules.teams_per_church
        return ChurchRecord(id=stored.tournament.id, name="", taken=0, limit=limit)

    def _team(self, code: str, church: ChurchRecord) -> TeamRecord:
        stored = self.registration
        entry = stored.entry
        return TeamRecord(
            id=stored.idempotency.team_id,
            code=code,
            name=entry.team_name,
            status=TeamStatus.PENDING,
            version=1,
            manage_generation=1,
            registered_at=stored.now,
            updated_at=stored.now,
            church=church,
            captain=entry.captain,
            vice_captain=entry.vice_captain,
            players=stored.players,
            documents=self.documents,
            required_documents=stored.tournament.rules.required_documents,
        )


def squad(
    entry: TeamEntry, form: TeamForm, known: Mapping[str, DocumentRecord]
) -> tuple[PlayerRecord, ...]:
    ids = new_ids(len(entry.players))
    return tuple(
        PlayerRecord(
            id=ids[position - 1],
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
    return tuple(known[document.document_id] for document in given) if given else ()


def claims_of(
    documents: Iterable[DocumentRecord], players: Iterable[PlayerRecord]
) -> tuple[DocumentClaim, ...]:
    """What a team takes for itself: its own documents, and those of its players."""
    return (
        *(DocumentClaim(document_id=one.id, player_id=None) for one in documents),
        *(
            DocumentClaim(document_id=one.id, player_id=player.id)
            for player in players
            for one in player.documents
        ),
    )


async def _why_no_number(database: Database, registration: RegistrationRows) -> DomainError:
    """The tournament changed between reading its rules and taking a number."""
    tournament = await tournaments.fetch_active(database)
    if tournament.id != registration.tournament.id:
        # The next attempt is for the season that is open now.
        return ServiceUnavailable()
    try:
        require_open(tournament.rules, registration.now)
    except DomainError as not_open:
        return not_open
    return TournamentFull(capacity=tournament.rules.capacity or 0)
