"""Forgetting the people of a team: rows, files and what is owed to them."""

from dataclasses import dataclass
from functools import partial

import structlog

from domain.audit import AuditAction
from domain.auth.roles import Caller, Role, require_role
from domain.teams.status import LIVE_STATUSES
from observability.logging_setup import current_request_id
from persistence.engine.database import Connection
from persistence.repositories import audit, decisions, documents, team_updates
from resolvers.documents.jobs import MOVE, owe_deletions
from resolvers.services import Services
from resolvers.teams.decisions import Change, locked

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureResult:
    """`documents` are those whose files are deleted through the outbox."""

    code: str
    documents: int


async def erase_team(
    services: Services, caller: Caller, reference: str, *, expected_version: int
) -> ErasureResult:
    """Once for all. What stays names nobody: the code, and that it was erased.

    Raises Unauthenticated, Forbidden, TeamNotFound, StaleVersion.
    """
    require_role(caller, Role.OWNER)
    erased = await services.database.run(
        partial(_erase, services, caller, reference, expected_version)
    )
    log.info("team_erased", team=erased.code, documents=erased.documents)
    return erased


async def _erase(
    services: Services,
    caller: Caller,
    reference: str,
    expected_version: int,
    connection: Connection,
) -> ErasureResult:
    now = services.clock()
    change = Change(actor=caller.actor, operation="eraseTeam", expected_version=expected_version)
    decided = await locked(services, connection, reference, change)
    if decided.status in LIVE_STATUSES:
        await decisions.release_slots(connection, decided)
    given_up = await documents.delete_by_team(connection, decided.id)
    await owe_deletions(connection, given_up, team_id=decided.id, now=now)
    await team_updates.delete_team(connection, decided, moves=MOVE)
    await audit.append(
        connection,
        at=now,
        actor=caller.actor,
        action=AuditAction.TEAM_ERASED,
        team_id=decided.id,
        request_id=current_request_id(),
        changes={
            "code": [decided.code, None],
            "status": [decided.status.value, None],
            "documents": [len(given_up), 0],
        },
    )
    return ErasureResult(code=decided.code, documents=len(given_up))
