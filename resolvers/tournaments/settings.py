"""Settings of the current tournament."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import structlog

from domain.audit import AuditAction
from domain.auth.roles import Caller, Role, require_role
from domain.datetimes import format_utc
from domain.errors.exceptions import InvalidForm
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import Issue, first_issue_per_path
from domain.naming import camel_case
from domain.tournaments import (
    RegistrationState,
    order_issues,
    parse_changes,
    setting_issue,
    setting_path,
)
from persistence.records import TournamentRecord
from persistence.unit_of_work import UnitOfWork
from resolvers import audit
from resolvers.security.secrets import fingerprint
from resolvers.services import Services
from resolvers.teams.decisions import VersionedRequest, require_version
from resolvers.tournaments.queries import current_state

log = structlog.get_logger(__name__)

_RULE_FIELDS = (
    "squad_min squad_max teams_per_church capacity opens_at closes_at required_documents"
    " consent_version"
).split()
_TOURNAMENT_FIELDS = "name venue time_zone fee_amount fee_currency upi_id upi_payee".split()


async def update_tournament(
    services: Services,
    caller: Caller,
    changes: Mapping[str, Any],
    *,
    expected_version: int | None = None,
) -> tuple[TournamentRecord, RegistrationState]:
    """Change the given columns, effective from the next request on.

    Without `expected_version` the last of two concurrent changes wins.

    Raises Unauthenticated, Forbidden, InvalidForm, StaleVersion.
    """
    require_role(caller, Role.OWNER)
    changes, issues = parse_changes(changes)
    request = VersionedRequest(
        actor=caller.actor,
        operation="updateTournament",
        expected_version=expected_version,
        content=changes,
    )
    updated = await services.database.run(partial(_update, services, request, changes, issues))
    log.info("tournament_updated", fields=sorted(changes))
    return updated


async def _update(
    services: Services,
    request: VersionedRequest,
    changes: Mapping[str, Any],
    issues: Sequence[Issue],
    uow: UnitOfWork,
) -> tuple[TournamentRecord, RegistrationState]:
    before = await uow.tournaments.lock_active()
    require_version(services, request, before.version, before.last_change)
    stored = _values(before)
    await _require_valid(uow, changes, stored, issues)
    differences = {
        name: [_audit_value(stored[name]), _audit_value(value)]
        for name, value in changes.items()
        if value != stored[name]
    }
    if not differences:
        return before, current_state(before, services.clock())
    after = await uow.tournaments.update(
        before.id,
        {name: _to_column(changes[name]) for name in differences},
        last_change=fingerprint(services.secrets, request),
    )
    await audit.record(
        uow,
        AuditAction.TOURNAMENT_UPDATED,
        request.actor,
        at=services.clock(),
        changes={camel_case(name): pair for name, pair in differences.items()},
    )
    return after, current_state(after, services.clock())


async def _require_valid(
    uow: UnitOfWork,
    changes: Mapping[str, Any],
    stored: Mapping[str, Any],
    issues: Sequence[Issue],
) -> None:
    """Check the valid changes together with the stored values.

    Raises InvalidForm with `issues` and the new ones.
    """
    invalid_paths = {issue.path for issue in issues}
    valid = {
        name: value for name, value in changes.items() if setting_path(name) not in invalid_paths
    }
    all_issues = [*issues, *order_issues({**stored, **valid}, valid)]
    time_zone = valid.get("time_zone")
    if time_zone is not None and not await uow.tournaments.time_zone_exists(time_zone):
        all_issues.append(setting_issue("time_zone", IssueCode.TIME_ZONE_UNKNOWN))
    if all_issues:
        raise InvalidForm(first_issue_per_path(all_issues))


def _values(tournament: TournamentRecord) -> dict[str, Any]:
    values = {name: getattr(tournament, name) for name in _TOURNAMENT_FIELDS}
    return values | {name: getattr(tournament.rules, name) for name in _RULE_FIELDS}


def _to_column(value: Any) -> Any:
    return [kind.value for kind in value] if isinstance(value, tuple) else value


def _audit_value(value: Any) -> Any:
    """Convert a value for the audit log."""
    if isinstance(value, tuple):
        return _to_column(value)
    return format_utc(value) if isinstance(value, datetime) else value
