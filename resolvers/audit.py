"""Write events to the audit log, in the transaction of the change that they describe."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from domain.audit import AuditAction
from observability.logging_setup import current_request_id
from persistence.unit_of_work import UnitOfWork

_NO_CHANGES: Mapping[str, object] = MappingProxyType({})


async def record(  # noqa: PLR0913 - the fields of an event
    uow: UnitOfWork,
    action: AuditAction,
    actor: str,
    *,
    at: datetime,
    team_id: UUID | None = None,
    organiser_id: UUID | None = None,
    changes: Mapping[str, object] = _NO_CHANGES,
) -> None:
    """Append an event about a team, an organiser or neither.

    Events are kept forever: `changes` must be JSON without personal data. A changed field is
    `[old, new]`.
    """
    if organiser_id is not None:
        changes = {"organiser": organiser_id.hex, **changes}
    await uow.audit.append(
        at=at,
        actor=actor,
        action=action,
        team_id=team_id,
        request_id=current_request_id(),
        changes=changes,
    )
