"""The tables of `models.py` as SQLAlchemy Core sees them: rows are read, not entities."""

from persistence.models import metadata

tournament = metadata.tables["tournament"]
church = metadata.tables["church"]
team = metadata.tables["team"]
player = metadata.tables["player"]
document = metadata.tables["document"]
church_alias = metadata.tables["church_alias"]
audit_event = metadata.tables["audit_event"]
decision = metadata.tables["decision"]
outbox_message = metadata.tables["outbox_message"]
organiser = metadata.tables["organiser"]
organiser_session = metadata.tables["organiser_session"]
api_token = metadata.tables["api_token"]
