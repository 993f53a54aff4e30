"""Callers, their roles and the checks of permissions."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from domain.errors.exceptions import Forbidden, Unauthenticated

# Of the tokens by which captains manage their teams.
MANAGE_TOKEN_PREFIX = "icm_"  # noqa: S105 - not a secret


class Role(StrEnum):
    """Organisers' roles. Each role includes the permissions of the roles after it."""

    OWNER = "OWNER"
    REVIEWER = "REVIEWER"
    VIEWER = "VIEWER"

    def at_least(self, other: "Role") -> bool:
        return _RANKS[self] <= _RANKS[other]

    def lower_of(self, other: "Role") -> "Role":
        """The role with fewer permissions."""
        return other if self.at_least(other) else self


_RANKS = {role: rank for rank, role in enumerate(Role)}


class CallerKind(StrEnum):
    ANONYMOUS = "anonymous"
    ORGANISER = "organiser"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Identity and role of a caller.

    SYSTEM is the command line and the service itself. An organiser without `session_id` is a
    script with an API token.
    """

    kind: CallerKind
    organiser_id: UUID | None = None
    role: Role | None = None
    session_id: UUID | None = None

    @property
    def actor(self) -> str:
        """The actor in the audit log."""
        if self.organiser_id is not None:
            return f"{self.kind}:{self.organiser_id.hex}"
        return self.kind.value


ANONYMOUS = Caller(kind=CallerKind.ANONYMOUS)
SYSTEM = Caller(kind=CallerKind.SYSTEM)
# The actor in the audit log for a caller who registers a team or has its token.
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
    """Refuse API tokens, because a token may be stolen. Raises Unauthenticated, Forbidden."""
    require_role(caller, role)
    if caller.kind == CallerKind.ORGANISER and caller.session_id is None:
        raise Forbidden("An API token cannot do this. Please sign in.")
