"""What organisers set of the open season."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

import structlog

from domain.errors import BadUserInput
from domain.roles import Caller, Role, require_role
from domain.rules import RegistrationState
from domain.tournament import NO_TIME_ZONE, check_tournament, read_changes
from persistence import audit, tournaments
from persistence.database import Connection
from persistence.records import TournamentRecord
from resilience.telemetry import current_request_id
from resolvers.context import Services
from resolvers.queries import state_of

log = structlog.get_logger(__name__)

_OF_RULES = (
    "squad_min squad_max teams_per_church capacity opens_at closes_at required_documents"
    " consent_version"
).split()
_OWN = "name venue time_zone fee_amount fee_currency upi_id upi_payee".split()


async def update_tournament(
    services: Services, caller: Caller, changes: Mapping[str, Any]
) -> tuple[TournamentRecord, RegistrationState]:
    """`changes` are columns; what is not among them stays. Holds from the next request on.

    Raises Unauthenticated, Forbidden, BadUserInput.
    """
    require_role(caller, Role.OWNER)
    changes = read_changes(changes)
    updated = await services.database.supersede(partial(_update, services, caller, changes))
    log.info("tournament_updated", fields=sorted(changes))
    return updated


async def _update(
    services: Services, caller: Caller, changes: Mapping[str, Any], connection: Connection
) -> tuple[TournamentRecord, RegistrationState]:
    before = await tournaments.lock_active(connection)
    stored = _values(before)
    check_tournament(changes, {**stored, **changes})
    zone = changes.get("time_zone")
    if zone is not None and not await tournaments.knows_time_zone(connection, zone):
        raise BadUserInput(NO_TIME_ZONE)
    differences = {
        name: [_plain(stored[name]), _plain(value)]
        for name, value in changes.items()
        if value != stored[name]
    }
    if not differences:
        return before, state_of(before, services.clock())
    await tournaments.change(
        connection, before.id, {name: _stored(changes[name]) for name in differences}
    )
    await audit.append(
        connection,
        at=services.clock(),
        actor=caller.actor,
        action="tournament.updated",
        team_id=None,
        request_id=current_request_id(),
        changes=differences,
    )
    after = await tournaments.active(connection)
    return after, state_of(after, services.clock())


def _values(record: TournamentRecord) -> dict[str, Any]:
    own = {name: getattr(record, name) for name in _OWN}
    return own | {name: getattr(record.rules, name) for name in _OF_RULES}


def _stored(value: Any) -> Any:
    return [kind.value for kind in value] if isinstance(value, tuple) else value


def _plain(value: Any) -> Any:
    """For the audit log, whose changes are JSON."""
    if isinstance(value, tuple):
        return _stored(value)
    return value.isoformat() if isinstance(value, datetime) else value
