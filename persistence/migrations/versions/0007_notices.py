"""Notices of the outbox say which kind of message waits: nobody wakes for what they do not do."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TRIGGER outbox_message_notify ON outbox_message")
    op.execute("""
        CREATE OR REPLACE FUNCTION notify_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_notify('outbox', NEW.kind);
            RETURN NULL;
        END $$
    """)
    op.execute("""
        CREATE TRIGGER outbox_message_notify AFTER INSERT ON outbox_message
        FOR EACH ROW EXECUTE FUNCTION notify_outbox()
    """)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TRIGGER outbox_message_notify ON outbox_message")
    op.execute("""
        CREATE OR REPLACE FUNCTION notify_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_notify('outbox', '');
            RETURN NULL;
        END $$
    """)
    op.execute("""
        CREATE TRIGGER outbox_message_notify AFTER INSERT ON outbox_message
        FOR EACH STATEMENT EXECUTE FUNCTION notify_outbox()
    """)
