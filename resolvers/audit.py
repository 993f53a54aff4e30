"""What organisers do to accounts, on record in the transaction that does it."""

from datetime import datetime
from uuid import UUID

from domain.audit import AuditAction
from domain.auth.roles import Caller
from observability.logging_setup import current_request_id
from persistence.engine.database import Connection
from persistence.repositories import audit


async def record(
    connection: Connection,
    caller: Caller,
    action: AuditAction,
    organiser_id: UUID,
    *,
    at: datetime,
    **changes: object,
) -> None:
    """`organiser_id` is whom it was done to. No e-mail address goes into `changes`."""
    await audit.append(
        connection,
        at=at,
        actor=caller.actor,
        action=action,
        team_id=None,
        request_id=current_request_id(),
        changes={"organiser": organiser_id.hex, **changes},
    )
