"""One church that registered under two names."""

from dataclasses import dataclass
from functools import partial
from uuid import UUID

import structlog

from domain.audit import AuditAction
from domain.auth.roles import Caller, Role, require_role
from domain.errors.exceptions import BadUserInput, IssueCode, NotFound
from domain.errors.issues import INPUT, issue
from observability.logging_setup import current_request_id
from persistence.engine.database import Connection
from persistence.records import ChurchRecord
from persistence.repositories import audit, churches
from persistence.repositories.churches import MergedChurch, SameTeamName
from resolvers.services import Services

log = structlog.get_logger(__name__)

_CHURCH = (*INPUT, "churchId")
_INTO = (*INPUT, "intoChurchId")


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """`church` may have more live teams than its limit now: then it gets no further one."""

    church: ChurchRecord
    teams: int


async def merge(services: Services, caller: Caller, church_id: UUID, into: UUID) -> Merged:
    """The first church is an alias of the second from now on.

    Raises Unauthenticated, Forbidden, and BadUserInput or NotFound with the place of the church.
    """
    require_role(caller, Role.OWNER)
    if church_id == into:
        raise BadUserInput(issue(_INTO, IssueCode.SAME_CHURCH))
    try:
        merged = await services.database.run(partial(_merge, services, caller, (church_id, into)))
    except SameTeamName as error:
        raise BadUserInput(
            issue(_CHURCH, IssueCode.DUPLICATE_TEAM_NAME),
            message="Both churches have a live team of the same name. Rename one of them first.",
        ) from error
    log.info("churches_merged", teams=merged.teams)
    return merged


async def _merge(
    services: Services,
    caller: Caller,
    church_ids: tuple[UUID, UUID],
    connection: Connection,
) -> Merged:
    found = await churches.lock_pair(connection, church_ids)
    unknown = [
        issue(path, IssueCode.ID_UNKNOWN)
        for path, one in zip((_CHURCH, _INTO), church_ids, strict=True)
        if one not in found
    ]
    if unknown:
        raise NotFound("There is no such church.", *unknown)
    gone, stays = (found[one] for one in church_ids)
    if gone.tournament_id != stays.tournament_id:
        raise BadUserInput(issue(_INTO, IssueCode.SEASONS_DIFFER))
    moved = await churches.move_teams(connection, gone, stays, now=services.clock())
    church = await churches.delete_merged(connection, gone, stays)
    await _record(services, caller, connection, (gone, stays), moved)
    return Merged(church=church, teams=len(moved))


async def _record(
    services: Services,
    caller: Caller,
    connection: Connection,
    pair: tuple[MergedChurch, MergedChurch],
    moved: list[UUID],
) -> None:
    """Once for the churches, and once for each team."""
    changes = {"church": [one.id.hex for one in pair], "name": [one.name for one in pair]}
    for team_id in (None, *moved):
        await audit.append(
            connection,
            at=services.clock(),
            actor=caller.actor,
            action=AuditAction.CHURCH_MERGED if team_id is None else AuditAction.TEAM_CHURCH_MERGED,
            team_id=team_id,
            request_id=current_request_id(),
            changes=changes if team_id else {**changes, "teams": len(moved)},
        )
