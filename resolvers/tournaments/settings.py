"""What organisers set of the open season."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import structlog

from domain.audit import AuditAction
from domain.auth.roles import Caller, Role, require_role
from domain.datetimes import utc_text
from domain.errors.exceptions import InvalidForm, Issue, IssueCode
from domain.errors.issues import first_issue_per_path
from domain.naming import camel_case
from domain.tournament_settings import issue_of, order_issues, read_changes
from domain.tournaments import RegistrationState
from observability.logging_setup import current_request_id
from persistence.engine.database import Connection
from persistence.records import TournamentRecord
from persistence.repositories import audit, tournaments
from resolvers.security.secrets import fingerprint
from resolvers.services import Services
from resolvers.teams.decisions import Change, require_version
from resolvers.tournaments.queries import state_of

log = structlog.get_logger(__name__)

_OF_RULES = (
    "squad_min squad_max teams_per_church capacity opens_at closes_at required_documents"
    " consent_version"
).split()
_OWN = "name venue time_zone fee_amount fee_currency upi_id upi_payee".split()


async def update_tournament(
    services: Services,
    caller: Caller,
    changes: Mapping[str, Any],
    *,
    expected_version: int | None = None,
) -> tuple[TournamentRecord, RegistrationState]:
    """`changes` are columns; what is not among them stays. Holds from the next request on.

    Without `expected_version` the last of two wins. Raises Unauthenticated, Forbidden,
    InvalidForm, StaleVersion.
    """
    require_role(caller, Role.OWNER)
    changes, issues = read_changes(changes)
    change = Change(
        actor=caller.actor,
        operation="updateTournament",
        expected_version=expected_version,
        content=changes,
    )
    updated = await services.database.supersede(partial(_update, services, change, changes, issues))
    log.info("tournament_updated", fields=sorted(changes))
    return updated


async def _update(
    services: Services,
    change: Change,
    changes: Mapping[str, Any],
    issues: Sequence[Issue],
    connection: Connection,
) -> tuple[TournamentRecord, RegistrationState]:
    before = await tournaments.lock_active(connection)
    require_version(services, change, before.version, before.last_change)
    stored = _values(before)
    await _require_right(connection, changes, stored, issues)
    differences = {
        name: [_plain(stored[name]), _plain(value)]
        for name, value in changes.items()
        if value != stored[name]
    }
    if not differences:
        return before, state_of(before, services.clock())
    await tournaments.change(
        connection,
        before.id,
        {name: _stored(changes[name]) for name in differences},
        last_change=fingerprint(services.secrets, change),
    )
    await audit.append(
        connection,
        at=services.clock(),
        actor=change.actor,
        action=AuditAction.TOURNAMENT_UPDATED,
        team_id=None,
        request_id=current_request_id(),
        changes={camel_case(name): pair for name, pair in differences.items()},
    )
    after = await tournaments.get_active(connection)
    return after, state_of(after, services.clock())


async def _require_right(
    connection: Connection,
    changes: Mapping[str, Any],
    stored: Mapping[str, Any],
    issues: Sequence[Issue],
) -> None:
    """Raises InvalidForm with `issues` and what is wrong with the whole."""
    wrong = {one.path for one in issues}
    right = {
        name: value
        for name, value in changes.items()
        if issue_of(name, IssueCode.VALUE_REQUIRED).path not in wrong
    }
    found = [*issues, *order_issues({**stored, **right}, right)]
    zone = right.get("time_zone")
    if zone is not None and not await tournaments.time_zone_exists(connection, zone):
        found.append(issue_of("time_zone", IssueCode.TIME_ZONE_UNKNOWN))
    if found:
        raise InvalidForm(first_issue_per_path(found))


def _values(record: TournamentRecord) -> dict[str, Any]:
    own = {name: getattr(record, name) for name in _OWN}
    return own | {name: getattr(record.rules, name) for name in _OF_RULES}


def _stored(value: Any) -> Any:
    return [kind.value for kind in value] if isinstance(value, tuple) else value


def _plain(value: Any) -> Any:
    """For the audit log, whose changes are JSON."""
    if isinstance(value, tuple):
        return _stored(value)
    return utc_text(value) if isinstance(value, datetime) else value
