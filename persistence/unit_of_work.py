"""A transaction with the repositories that take part in it."""

from functools import cached_property

from sqlmodel.ext.asyncio.session import AsyncSession

from persistence.repositories.api_tokens import ApiTokenRepository
from persistence.repositories.audit import AuditRepository
from persistence.repositories.churches import ChurchRepository
from persistence.repositories.decisions import DecisionRepository
from persistence.repositories.documents import DocumentRepository
from persistence.repositories.idempotency import IdempotencyRepository
from persistence.repositories.maintenance import MaintenanceRepository
from persistence.repositories.nodes import NodeRepository
from persistence.repositories.organisers import OrganiserRepository
from persistence.repositories.outbox import OutboxRepository
from persistence.repositories.registration import RegistrationRepository
from persistence.repositories.sessions import SessionRepository
from persistence.repositories.slots import SlotRepository
from persistence.repositories.team_search import TeamSearchRepository
from persistence.repositories.team_stats import TeamStatsRepository
from persistence.repositories.teams import TeamRepository
from persistence.repositories.tournaments import TournamentRepository


class UnitOfWork:
    """One SQLModel session and the repositories on it.

    `Database.run` creates one for each attempt, and commits it. It is never shared by resolvers
    that run concurrently: a session executes one statement at a time.
    """

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    @cached_property
    def api_tokens(self) -> ApiTokenRepository:
        return ApiTokenRepository(self.session)

    @cached_property
    def audit(self) -> AuditRepository:
        return AuditRepository(self.session)

    @cached_property
    def churches(self) -> ChurchRepository:
        return ChurchRepository(self.session)

    @cached_property
    def decisions(self) -> DecisionRepository:
        return DecisionRepository(self.session)

    @cached_property
    def documents(self) -> DocumentRepository:
        return DocumentRepository(self.session)

    @cached_property
    def idempotency(self) -> IdempotencyRepository:
        return IdempotencyRepository(self.session)

    @cached_property
    def maintenance(self) -> MaintenanceRepository:
        return MaintenanceRepository(self.session)

    @cached_property
    def nodes(self) -> NodeRepository:
        return NodeRepository(self.session)

    @cached_property
    def organisers(self) -> OrganiserRepository:
        return OrganiserRepository(self.session)

    @cached_property
    def outbox(self) -> OutboxRepository:
        return OutboxRepository(self.session)

    @cached_property
    def registration(self) -> RegistrationRepository:
        return RegistrationRepository(self.session)

    @cached_property
    def sessions(self) -> SessionRepository:
        return SessionRepository(self.session)

    @cached_property
    def slots(self) -> SlotRepository:
        return SlotRepository(self.session)

    @cached_property
    def team_search(self) -> TeamSearchRepository:
        return TeamSearchRepository(self.session)

    @cached_property
    def team_stats(self) -> TeamStatsRepository:
        return TeamStatsRepository(self.session)

    @cached_property
    def teams(self) -> TeamRepository:
        return TeamRepository(self.session)

    @cached_property
    def tournaments(self) -> TournamentRepository:
        return TournamentRepository(self.session)
