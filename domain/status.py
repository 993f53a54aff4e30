"""Where a team's application stands."""

from enum import StrEnum


class TeamStatus(StrEnum):
    PENDING = "PENDING"
    CHANGES_REQUESTED = "CHANGES_REQUESTED"
    CONFIRMED = "CONFIRMED"
    REJECTED = "REJECTED"
    WITHDRAWN = "WITHDRAWN"


# A live team holds its place, its name and its captain's contacts.
LIVE_STATUSES = frozenset({TeamStatus.PENDING, TeamStatus.CHANGES_REQUESTED, TeamStatus.CONFIRMED})
