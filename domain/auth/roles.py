"""Who calls, and what they may do."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from domain.errors.exceptions import Forbidden, Unauthenticated


class Role(StrEnum):
    """Each may do what the ones after it may do."""

    OWNER = "OWNER"
    REVIEWER = "REVIEWER"
    VIEWER = "VIEWER"

    def at_least(self, other: "Role") -> bool:
        return _RANKS[self] <= _RANKS[other]

    def lower_of(self, other: "Role") -> "Role":
        """The role itself, or the other where that may do less."""
        return other if self.at_least(other) else self


_RANKS = {role: rank for rank, role in enumerate(Role)}


class CallerKind(StrEnum):
    ANONYMOUS = "anonymous"
    ORGANISER = "organiser"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """`role` is an organiser's. The system is the command line and the service itself.

    Without `session_id` an organiser is a script with an API token.
    """

    kind: CallerKind
    organiser_id: UUID | None = None
    role: Role | None = None
    session_id: UUID | None = None

    @property
    def actor(self) -> str:
        """As it stands in the audit log."""
        if self.organiser_id is not None:
            return f"{self.kind}:{self.organiser_id.hex}"
        return self.kind.value


ANONYMOUS = Caller(kind=CallerKind.ANONYMOUS)
SYSTEM = Caller(kind=CallerKind.SYSTEM)
# As it stands in the audit log of somebody with a team's token, or who registers one.
CAPTAIN_ACTOR = "captain"


def has_role(caller: Caller, role: Role) -> bool:
    return caller.kind == CallerKind.SYSTEM or bool(caller.role and caller.role.at_least(role))


def require_role(caller: Caller, role: Role) -> None:
    """Raises Unauthenticated, Forbidden."""
    if caller.kind == CallerKind.SYSTEM:
        return
    if caller.role is None:
        raise Unauthenticated
    if not caller.role.at_least(role):
        raise Forbidden


def require_session(caller: Caller, role: Role) -> None:
    """For what a stolen API token must not do. Raises Unauthenticated, Forbidden."""
    require_role(caller, role)
    if caller.kind == CallerKind.ORGANISER and caller.session_id is None:
        raise Forbidden("This cannot be done with an API token. Sign in.")
