"""Outbox notifications carry the kind of message, so that only its workers wake up."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _notify("NEW.kind", each="ROW")


def downgrade() -> None:
    _notify("''", each="STATEMENT")


def _notify(payload: str, *, each: str) -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TRIGGER outbox_message_notify ON outbox_message")
    op.execute(f"""
        CREATE OR REPLACE FUNCTION notify_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_notify('outbox', {payload});
            RETURN NULL;
        END $$
    """)
    op.execute(f"""
        CREATE TRIGGER outbox_message_notify AFTER INSERT ON outbox_message
        FOR EACH {each} EXECUTE FUNCTION notify_outbox()
    """)
