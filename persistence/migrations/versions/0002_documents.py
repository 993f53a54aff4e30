"""Documents, and what the delivery of the outbox needs."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

IS_CURRENT = "review <> 'SUPERSEDED' AND deleted_at IS NULL"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "document",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=True),
        sa.Column("player_id", sa.Uuid(), nullable=True),
        sa.Column("store", sa.Text(), nullable=False),
        sa.Column("storage_name", sa.Text(), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("byte_size", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("review", sa.Text(), nullable=False),
        sa.Column("review_reason", sa.Text(), nullable=True),
        sa.Column("review_note", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "kind IN ('PASTOR_LETTER', 'PAYMENT_RECEIPT', 'GROUP_PHOTO',"
            " 'IDENTITY_PROOF', 'SUBSCRIPTION_CARD', 'PHOTO')",
            name=op.f("ck_document_kind_known"),
        ),
        sa.CheckConstraint(
            "format IN ('PNG', 'JPEG', 'PDF')", name=op.f("ck_document_format_known")
        ),
        sa.CheckConstraint(
            "folder IN ('pending', 'confirmed', 'rejected')",
            name=op.f("ck_document_folder_known"),
        ),
        sa.CheckConstraint(
            "review IN ('PENDING', 'ACCEPTED', 'REJECTED', 'SUPERSEDED')",
            name=op.f("ck_document_review_known"),
        ),
        sa.CheckConstraint(
            "(team_id IS NULL) = (claimed_at IS NULL)",
            name=op.f("ck_document_claimed_by_a_team"),
        ),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_document_team_id")),
        sa.ForeignKeyConstraint(["player_id"], ["player.id"], name=op.f("fk_document_player_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_document")),
        sa.UniqueConstraint("storage_name", name="uq_document_storage_name"),
    )
    op.create_index("ix_document_team_id", "document", ["team_id"])
    op.create_index(
        "ix_document_unclaimed",
        "document",
        ["created_at"],
        postgresql_where=sa.text("team_id IS NULL"),
    )
    op.create_index(
        "uq_document_team_kind",
        "document",
        ["team_id", "kind"],
        unique=True,
        postgresql_where=sa.text(f"player_id IS NULL AND {IS_CURRENT}"),
    )
    op.create_index(
        "uq_document_player_kind",
        "document",
        ["player_id", "kind"],
        unique=True,
        postgresql_where=sa.text(f"player_id IS NOT NULL AND {IS_CURRENT}"),
    )
    op.add_column("outbox_message", sa.Column("dead_at", sa.DateTime(timezone=True), nullable=True))
    op.drop_index("ix_outbox_message_due", table_name="outbox_message")
    op.create_index(
        "ix_outbox_message_due",
        "outbox_message",
        ["due_at"],
        postgresql_where=sa.text("finished_at IS NULL AND dead_at IS NULL"),
    )
    op.execute("""
        CREATE FUNCTION notify_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_notify('outbox', '');
            RETURN NULL;
        END $$
    """)
    op.execute("""
        CREATE TRIGGER outbox_message_notify AFTER INSERT ON outbox_message
        FOR EACH STATEMENT EXECUTE FUNCTION notify_outbox()
    """)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TRIGGER outbox_message_notify ON outbox_message")
    op.execute("DROP FUNCTION notify_outbox()")
    op.drop_index("ix_outbox_message_due", table_name="outbox_message")
    op.drop_column("outbox_message", "dead_at")
    op.create_index(
        "ix_outbox_message_due",
        "outbox_message",
        ["due_at"],
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.drop_table("document")
