"""Every table, as a SQLModel class; those that `fast` uses as SQLAlchemy Core tables too.

The classes describe columns and constraints and have no behaviour. The names of constraints are
part of the code: `persistence/repositories/registration.py` derives from them which rule was
broken.
"""

from persistence.models.base import IS_CURRENT, IS_LIVE, metadata
from persistence.models.documents import Document
from persistence.models.operations import (
    IS_PENDING,
    AuditEvent,
    Decision,
    IdempotencyRecord,
    OutboxMessage,
)
from persistence.models.organisers import (
    ApiToken,
    Organiser,
    OrganiserSession,
    RecoveryCode,
    RequestNonce,
)
from persistence.models.registration import Church, ChurchAlias, Player, Team, Tournament

__all__ = [
    "IS_CURRENT",
    "IS_LIVE",
    "IS_PENDING",
    "ApiToken",
    "AuditEvent",
    "Church",
    "ChurchAlias",
    "Decision",
    "Document",
    "IdempotencyRecord",
    "Organiser",
    "OrganiserSession",
    "OutboxMessage",
    "Player",
    "RecoveryCode",
    "RequestNonce",
    "Team",
    "Tournament",
    "api_token",
    "church",
    "metadata",
    "organiser",
    "organiser_session",
    "outbox_message",
    "player",
    "team",
    "tournament",
]

tournament = metadata.tables["tournament"]
church = metadata.tables["church"]
team = metadata.tables["team"]
player = metadata.tables["player"]
outbox_message = metadata.tables["outbox_message"]
organiser = metadata.tables["organiser"]
organiser_session = metadata.tables["organiser_session"]
api_token = metadata.tables["api_token"]
