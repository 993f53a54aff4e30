"""Kinds of outbox messages."""

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
    # Stands for kinds that another version of the service stored.
    OTHER = "other"

    @classmethod
    def from_stored(cls, value: str) -> Self:
        return cls(value) if value in frozenset(cls) else cls.OTHER


KNOWN_KINDS = frozenset(DeliveryKind) - {DeliveryKind.OTHER}
