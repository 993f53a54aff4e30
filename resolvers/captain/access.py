"""What a captain does with the team's secret."""

import re
from functools import partial
from uuid import UUID

from domain.auth.roles import CAPTAIN_ACTOR
from domain.errors.exceptions import Unauthenticated
from domain.registration.reasons import read_reason
from domain.teams.status import TeamAction
from persistence.engine.database import Connection
from persistence.fast import json_rendering
from persistence.fast.json_rendering import JsonSql
from persistence.records import TeamRecord
from persistence.repositories import teams
from resolvers.accounts.tokens import TokenEnded
from resolvers.security.secrets import verify_manage_token
from resolvers.services import Services
from resolvers.teams.decisions import Decision, change_of, execute_decision, locked, read

REFUSED = "The team's token is missing or not valid."

_TOKEN = re.compile(r"icm_([0-9a-f]{32})_([0-9]{1,9})_[A-Za-z0-9_-]{43}")


async def my_team(services: Services, token: str | None) -> TeamRecord:
    """The team whose secret it is. Raises Unauthenticated, and TokenEnded for one replaced."""
    team_id, generation = _claims(services, token)
    record = await services.database.read(partial(teams.find_by_id, team_id=UUID(team_id)))
    if record is None or record.manage_generation != generation:
        raise TokenEnded(REFUSED)
    return record


async def my_team_text(services: Services, token: str | None, text: JsonSql) -> str:
    """The same as PostgreSQL prints it."""
    team_id, generation = _claims(services, token)
    found = await json_rendering.find_team(services.database, team_id, text)
    if found is None or found["manage_generation"] != generation:
        raise TokenEnded(REFUSED)
    return str(found["json"])


def _claims(services: Services, token: str | None) -> tuple[str, int]:
    """The team's id in hex, and which of its tokens this is. Raises Unauthenticated."""
    match = _TOKEN.fullmatch(token or "")
    if match is None or not verify_manage_token(services.secrets, match[0]):
        raise Unauthenticated(REFUSED)
    return match[1], int(match[2])


async def withdraw(
    services: Services, token: str | None, *, expected_version: int, reason: str
) -> TeamRecord:
    """Raises Unauthenticated, InvalidForm, StaleVersion, InvalidStatusTransition."""
    team = await my_team(services, token)
    decision = Decision(
        reference=team.id.hex,
        expected_version=expected_version,
        event=TeamAction.WITHDRAW,
        reason=read_reason(reason, "reason"),
    )
    return await services.database.run(partial(_withdraw, services, team, decision))


async def _withdraw(
    services: Services, team: TeamRecord, decision: Decision, connection: Connection
) -> TeamRecord:
    await locked(services, connection, decision.reference, change_of(decision, actor=CAPTAIN_ACTOR))
    require_same_token(team, await read(connection, team.id))
    return await execute_decision(services, decision, connection, actor=CAPTAIN_ACTOR)


def require_same_token(checked: TeamRecord, current: TeamRecord) -> None:
    """Raises TokenEnded where the token was replaced after it was checked."""
    if checked.manage_generation != current.manage_generation:
        raise TokenEnded(REFUSED)
