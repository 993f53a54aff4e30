"""Every table, as a SQLModel class and as a SQLAlchemy Core table.

The classes describe columns and constraints and have no behaviour. The names of constraints are
part of the code: `persistence/repositories/registration.py` derives from them which rule was
broken.
"""

from persistence.models import documents, operations, organisers, registration
from persistence.models.base import IS_CURRENT, IS_LIVE, metadata

__all__ = [
    "IS_CURRENT",
    "IS_LIVE",
    "api_token",
    "audit_event",
    "church",
    "church_alias",
    "decision",
    "document",
    "documents",
    "metadata",
    "operations",
    "organiser",
    "organiser_session",
    "organisers",
    "outbox_message",
    "player",
    "registration",
    "team",
    "tournament",
]

tournament = metadata.tables["tournament"]
church = metadata.tables["church"]
church_alias = metadata.tables["church_alias"]
team = metadata.tables["team"]
player = metadata.tables["player"]
document = metadata.tables["document"]
decision = metadata.tables["decision"]
audit_event = metadata.tables["audit_event"]
outbox_message = metadata.tables["outbox_message"]
organiser = metadata.tables["organiser"]
organiser_session = metadata.tables["organiser_session"]
api_token = metadata.tables["api_token"]
