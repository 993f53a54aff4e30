"""Where a team's application stands, and what may be done with it there."""

from enum import StrEnum

from domain.errors import InvalidStatusTransition


class TeamStatus(StrEnum):
    PENDING = "PENDING"
    CHANGES_REQUESTED = "CHANGES_REQUESTED"
    CONFIRMED = "CONFIRMED"
    REJECTED = "REJECTED"
    WITHDRAWN = "WITHDRAWN"


class TeamEvent(StrEnum):
    CONFIRM = "confirm"
    REQUEST_CHANGES = "requestChanges"
    RESUBMIT = "resubmit"
    REJECT = "reject"
    WITHDRAW = "withdraw"
    REOPEN = "reopen"


# A live team holds its place, its name and its captain's contacts.
LIVE_STATUSES = frozenset({TeamStatus.PENDING, TeamStatus.CHANGES_REQUESTED, TeamStatus.CONFIRMED})

TRANSITIONS = {
    (TeamStatus.PENDING, TeamEvent.CONFIRM): TeamStatus.CONFIRMED,
    (TeamStatus.PENDING, TeamEvent.REQUEST_CHANGES): TeamStatus.CHANGES_REQUESTED,
    (TeamStatus.PENDING, TeamEvent.REJECT): TeamStatus.REJECTED,
    (TeamStatus.PENDING, TeamEvent.WITHDRAW): TeamStatus.WITHDRAWN,
    (TeamStatus.CHANGES_REQUESTED, TeamEvent.RESUBMIT): TeamStatus.PENDING,
    (TeamStatus.CHANGES_REQUESTED, TeamEvent.REJECT): TeamStatus.REJECTED,
    (TeamStatus.CHANGES_REQUESTED, TeamEvent.WITHDRAW): TeamStatus.WITHDRAWN,
    (TeamStatus.CONFIRMED, TeamEvent.REOPEN): TeamStatus.PENDING,
    (TeamStatus.CONFIRMED, TeamEvent.WITHDRAW): TeamStatus.WITHDRAWN,
    # Only while places remain.
    (TeamStatus.REJECTED, TeamEvent.REOPEN): TeamStatus.PENDING,
}


def move(status: TeamStatus, event: TeamEvent) -> TeamStatus:
    """Raises InvalidStatusTransition."""
    after = TRANSITIONS.get((status, event))
    if after is None:
        allowed = [one.value for one in TeamEvent if (status, one) in TRANSITIONS]
        raise InvalidStatusTransition(
            details={"from": status.value, "attempted": event.value, "allowed": allowed}
        )
    return after
