"""Erasure of a team's personal data: rows, files and pending messages."""

from dataclasses import dataclass
from functools import partial

import structlog

from domain.audit import AuditAction
from domain.auth.roles import Caller, Role, require_role
from domain.teams.status import LIVE_STATUSES
from persistence.unit_of_work import UnitOfWork
from resolvers import audit
from resolvers.documents.jobs import MOVE, enqueue_deletions
from resolvers.services import Services
from resolvers.teams.decisions import VersionedRequest, lock_team

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureResult:
    """`documents` is the number of files whose deletion was enqueued."""

    code: str
    documents: int


async def erase_team(
    services: Services, caller: Caller, reference: str, *, expected_version: int
) -> ErasureResult:
    """Erase a team irrevocably; the audit log keeps its code, old status and document count.

    Raises Unauthenticated, Forbidden, TeamNotFound, StaleVersion.
    """
    require_role(caller, Role.OWNER)
    result = await services.database.run(
        partial(_erase, services, caller, reference, expected_version)
    )
    log.info("team_erased", team=result.code, documents=result.documents)
    return result


async def _erase(
    services: Services,
    caller: Caller,
    reference: str,
    expected_version: int,
    uow: UnitOfWork,
) -> ErasureResult:
    now = services.clock()
    request = VersionedRequest(
        actor=caller.actor, operation="eraseTeam", expected_version=expected_version
    )
    team = await lock_team(services, uow, reference, request)
    if team.status in LIVE_STATUSES:
        await uow.slots.release(team)
    deleted = await uow.documents.delete_by_team(team.id)
    await enqueue_deletions(uow, deleted, team_id=team.id, now=now)
    await uow.teams.delete(team, move_kind=MOVE)
    await audit.record(
        uow,
        AuditAction.TEAM_ERASED,
        caller.actor,
        at=now,
        team_id=team.id,
        changes={
            "code": [team.code, None],
            "status": [team.status.value, None],
            "documents": [len(deleted), 0],
        },
    )

    return ErasureResult(code=team.code, documents=len(deleted))
