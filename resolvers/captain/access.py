"""Captains' access to their team with its manage token, and withdrawal."""

import re
from functools import partial
from uuid import UUID

from domain.auth.roles import CAPTAIN_ACTOR, MANAGE_TOKEN_PREFIX
from domain.errors.exceptions import Unauthenticated
from domain.registration.names import require_reason
from domain.teams.status import TeamAction, transition
from persistence.fast import json_rendering
from persistence.fast.json_rendering import JsonSql
from persistence.records import TeamRecord
from persistence.unit_of_work import UnitOfWork
from resolvers.accounts.tokens import TokenEnded
from resolvers.security.secrets import verify_manage_token
from resolvers.services import Services
from resolvers.teams.decisions import (
    Decision,
    apply_decision,
    decision_request,
    load_team,
    lock_team,
)

INVALID_TOKEN = "The team's token is missing or not valid."  # noqa: S105 - a message

_TOKEN = re.compile(rf"{MANAGE_TOKEN_PREFIX}([0-9a-f]{{32}})_([0-9]{{1,9}})_[A-Za-z0-9_-]{{43}}")


async def my_team(services: Services, token: str | None) -> TeamRecord:
    """Return the token's team. Raises Unauthenticated; TokenEnded for a replaced token."""
    team_id, generation = _verify_token(services, token)
    team = await services.database.read(lambda uow: uow.teams.find_by_id(team_id=UUID(team_id)))
    if team is None or team.manage_generation != generation:
        raise TokenEnded(INVALID_TOKEN)
    return team


async def my_team_json(services: Services, token: str | None, sql: JsonSql) -> str:
    """Like `my_team`, rendered as JSON by PostgreSQL."""
    team_id, generation = _verify_token(services, token)
    row = await json_rendering.find_team(services.database, team_id, sql)
    if row is None or row["manage_generation"] != generation:
        raise TokenEnded(INVALID_TOKEN)
    return str(row["json"])


def _verify_token(services: Services, token: str | None) -> tuple[str, int]:
    """Return the team's id in hex and the token's generation. Raises Unauthenticated."""
    match = _TOKEN.fullmatch(token or "")
    if match is None or not verify_manage_token(services.secrets, match[0]):
        raise Unauthenticated(INVALID_TOKEN)
    return match[1], int(match[2])


async def withdraw(
    services: Services, token: str | None, *, expected_version: int, reason: str
) -> TeamRecord:
    """Raises Unauthenticated, InvalidForm, StaleVersion, InvalidStatusTransition."""
    team = await my_team(services, token)
    decision = Decision(
        reference=team.id.hex,
        expected_version=expected_version,
        action=TeamAction.WITHDRAW,
        reason=require_reason(reason, "reason"),
    )
    return await services.database.run(partial(_withdraw, services, team, decision))


async def _withdraw(
    services: Services, team: TeamRecord, decision: Decision, uow: UnitOfWork
) -> TeamRecord:
    request = decision_request(decision, actor=CAPTAIN_ACTOR)
    locked = await lock_team(services, uow, decision.reference, request)
    require_same_token(team, await load_team(uow, team.id))
    status = transition(locked.status, decision.action, is_captain=True)
    return await apply_decision(services, uow, locked, decision, status, actor=CAPTAIN_ACTOR)


def require_same_token(checked: TeamRecord, current: TeamRecord) -> None:
    """Raises TokenEnded if the token was replaced between its check and the lock of the team."""
    if checked.manage_generation != current.manage_generation:
        raise TokenEnded(INVALID_TOKEN)
