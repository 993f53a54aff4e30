"""A transaction with the repositories that take part in it."""

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
        self.api_tokens = ApiTokenRepository(session)
        self.audit = AuditRepository(session)
        self.churches = ChurchRepository(session)
        self.decisions = DecisionRepository(session)
        self.documents = DocumentRepository(session)
        self.idempotency = IdempotencyRepository(session)
        self.maintenance = MaintenanceRepository(session)
        self.nodes = NodeRepository(session)
        self.organisers = OrganiserRepository(session)
        self.outbox = OutboxRepository(session)
        self.registration = RegistrationRepository(session)
        self.sessions = SessionRepository(session)
        self.slots = SlotRepository(session)
        self.team_search = TeamSearchRepository(session)
        self.team_stats = TeamStatsRepository(session)
        self.teams = TeamRepository(session)
        self.tournaments = TournamentRepository(session)
