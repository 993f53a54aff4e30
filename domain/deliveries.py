"""The kinds of effects on the outside that the outbox owes."""

from enum import StrEnum
from typing import Self


class DeliveryKind(StrEnum):
    """Values are stored."""

    MAIL_TEAM_RECEIVED = "mail.team_received"
    MAIL_TEAM_CONFIRMED = "mail.team_confirmed"
    MAIL_CHANGES_REQUESTED = "mail.changes_requested"
    MAIL_TEAM_REJECTED = "mail.team_rejected"
    MAIL_TEAM_WITHDRAWN = "mail.team_withdrawn"
    MEDIA_MOVE = "media.move"
    MEDIA_DELETE = "media.delete"
    # Never stored: a kind of another version of the service.
    OTHER = "other"

    @classmethod
    def of(cls, stored: str) -> Self:
        """The member that is stored so, else OTHER."""
        return cls(stored) if stored in frozenset(cls) else cls.OTHER


KNOWN_KINDS = frozenset(DeliveryKind) - {DeliveryKind.OTHER}
