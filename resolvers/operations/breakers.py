"""What organisers do about outside services."""

from functools import partial

from domain.audit import AuditAction
from domain.auth.roles import Caller, Role, require_role
from domain.errors.exceptions import NotFound
from observability.logging_setup import current_request_id
from persistence.repositories import audit
from resolvers.services import Services
from resolvers.tournaments.queries import Check, outside_check


async def reset_breaker(services: Services, caller: Caller, name: str) -> Check:
    """Let calls through again, in this process. Raises Unauthenticated, Forbidden, NotFound."""
    require_role(caller, Role.REVIEWER)
    guard = next((one for one in services.guards if one.name == name), None)
    if guard is None:
        raise NotFound("No outside service in use has this name.")
    await services.database.run(
        partial(
            audit.append,
            at=services.clock(),
            actor=caller.actor,
            action=AuditAction.BREAKER_RESET,
            team_id=None,
            request_id=current_request_id(),
            changes={"service": name, "state": [guard.state.value, "closed"]},
        )
    )
    guard.reset()
    return outside_check(guard)
