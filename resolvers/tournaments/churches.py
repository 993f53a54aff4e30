"""Merge of a church that registered under two names."""

from dataclasses import dataclass
from functools import partial
from uuid import UUID

import structlog

from domain.audit import AuditAction
from domain.auth.roles import Caller, Role, require_role
from domain.errors.exceptions import BadUserInput, NotFound
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import INPUT, make_issue
from persistence.records import ChurchRecord
from persistence.repositories.churches import LockedChurch, SameTeamName
from persistence.unit_of_work import UnitOfWork
from resolvers import audit
from resolvers.services import Services

log = structlog.get_logger(__name__)

_CHURCH = (*INPUT, "churchId")
_INTO = (*INPUT, "intoChurchId")


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeResult:
    """The remaining church and the number of moved teams.

    The church may exceed its limit of live teams; then it cannot register another one.
    """

    church: ChurchRecord
    teams: int


async def merge_churches(
    services: Services, caller: Caller, church_id: UUID, into: UUID
) -> MergeResult:
    """Move the teams of one church to another; the first name becomes an alias of the second.

    Raises Unauthenticated, Forbidden, and BadUserInput or NotFound with the place of the church.
    """
    require_role(caller, Role.OWNER)
    if church_id == into:
        raise BadUserInput(make_issue(_INTO, IssueCode.SAME_CHURCH))
    try:
        result = await services.database.run(partial(_merge, services, caller, (church_id, into)))
    except SameTeamName as error:
        raise BadUserInput(
            make_issue(_CHURCH, IssueCode.DUPLICATE_TEAM_NAME),
            message="Both churches have a live team of the same name. Rename one of them first.",
        ) from error
    log.info("churches_merged", teams=result.teams)
    return result


async def _merge(
    services: Services, caller: Caller, church_ids: tuple[UUID, UUID], uow: UnitOfWork
) -> MergeResult:
    pair = await uow.churches.lock_pair(church_ids)
    unknown = [
        make_issue(path, IssueCode.ID_UNKNOWN)
        for path, church_id in zip((_CHURCH, _INTO), church_ids, strict=True)
        if church_id not in pair
    ]
    if unknown:
        raise NotFound("There is no such church.", *unknown)
    source, target = (pair[church_id] for church_id in church_ids)
    if source.tournament_id != target.tournament_id:
        raise BadUserInput(make_issue(_INTO, IssueCode.SEASONS_DIFFER))
    team_ids = await uow.churches.move_teams(source, target, now=services.clock())
    church = await uow.churches.delete_merged(source, target)
    await _record(services, caller, uow, (source, target), team_ids)
    return MergeResult(church=church, teams=len(team_ids))


async def _record(
    services: Services,
    caller: Caller,
    uow: UnitOfWork,
    pair: tuple[LockedChurch, LockedChurch],
    team_ids: list[UUID],
) -> None:
    """Record an event for the churches and one for each team."""
    changes: dict[str, object] = {
        "church": [church.id.hex for church in pair],
        "name": [church.name for church in pair],
    }
    for team_id in (None, *team_ids):
        await audit.record(
            uow,
            AuditAction.CHURCH_MERGED if team_id is None else AuditAction.TEAM_CHURCH_MERGED,
            caller.actor,
            at=services.clock(),
            team_id=team_id,
            changes=changes if team_id else {**changes, "teams": len(team_ids)},
        )
