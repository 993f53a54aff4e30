"""Tournament, church, team, player, idempotency, audit and outbox."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "audit_event",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("changes", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_event")),
    )
    op.create_index("ix_audit_event_team_id", "audit_event", ["team_id", "id"], unique=False)
    op.create_table(
        "idempotency_record",
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("operation", "key", name=op.f("pk_idempotency_record")),
    )
    op.create_index(
        op.f("ix_idempotency_record_expires_at"), "idempotency_record", ["expires_at"], unique=False
    )
    op.create_table(
        "tournament",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("code_prefix", sa.Text(), nullable=False),
        sa.Column("venue", sa.Text(), nullable=True),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("opens_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closes_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("capacity", sa.Integer(), nullable=True),
        sa.Column("teams_per_church", sa.Integer(), nullable=True),
        sa.Column("squad_min", sa.Integer(), nullable=False),
        sa.Column("squad_max", sa.Integer(), nullable=False),
        sa.Column("fee_amount", sa.Integer(), nullable=True),
        sa.Column("fee_currency", sa.Text(), nullable=True),
        sa.Column("upi_id", sa.Text(), nullable=True),
        sa.Column("upi_payee", sa.Text(), nullable=True),
        sa.Column("required_documents", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("consent_version", sa.Text(), nullable=True),
        sa.Column("taken", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_team_number", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "capacity IS NULL OR capacity >= 0", name=op.f("ck_tournament_capacity_not_negative")
        ),
        sa.CheckConstraint(
            "next_team_number >= 1", name=op.f("ck_tournament_next_team_number_positive")
        ),
        sa.CheckConstraint(
            "squad_min BETWEEN 1 AND squad_max", name=op.f("ck_tournament_squad_ordered")
        ),
        sa.CheckConstraint("taken >= 0", name=op.f("ck_tournament_taken_not_negative")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tournament")),
    )
    op.create_index(
        "uq_tournament_active",
        "tournament",
        [sa.literal_column("(is_active)")],
        unique=True,
        postgresql_where=sa.text("is_active"),
    )
    op.create_table(
        "church",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tournament_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("normalized_name", sa.Text(), nullable=False),
        sa.Column("taken", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("taken >= 0", name=op.f("ck_church_taken_not_negative")),
        sa.ForeignKeyConstraint(
            ["tournament_id"], ["tournament.id"], name=op.f("fk_church_tournament_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_church")),
        sa.UniqueConstraint("tournament_id", "normalized_name", name="uq_church_normalized_name"),
    )
    op.create_index("ix_church_name", "church", ["tournament_id", "name", "id"], unique=False)
    op.create_table(
        "church_alias",
        sa.Column("tournament_id", sa.Uuid(), nullable=False),
        sa.Column("normalized_name", sa.Text(), nullable=False),
        sa.Column("church_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["church_id"], ["church.id"], name=op.f("fk_church_alias_church_id")
        ),
        sa.ForeignKeyConstraint(
            ["tournament_id"], ["tournament.id"], name=op.f("fk_church_alias_tournament_id")
        ),
        sa.PrimaryKeyConstraint("tournament_id", "normalized_name", name=op.f("pk_church_alias")),
    )
    op.create_index(op.f("ix_church_alias_church_id"), "church_alias", ["church_id"], unique=False)
    op.create_table(
        "team",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tournament_id", sa.Uuid(), nullable=False),
        sa.Column("church_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("normalized_name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("captain_name", sa.Text(), nullable=False),
        sa.Column("captain_phone", sa.Text(), nullable=False),
        sa.Column("captain_whatsapp", sa.Text(), nullable=False),
        sa.Column("captain_email", sa.Text(), nullable=False),
        sa.Column("vice_captain_name", sa.Text(), nullable=False),
        sa.Column("vice_captain_phone", sa.Text(), nullable=False),
        sa.Column("vice_captain_whatsapp", sa.Text(), nullable=False),
        sa.Column("vice_captain_email", sa.Text(), nullable=False),
        sa.Column("consent_version", sa.Text(), nullable=True),
        sa.Column("consented_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("locale", sa.Text(), nullable=True),
        sa.Column("manage_generation", sa.Integer(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status IN ('PENDING', 'CHANGES_REQUESTED', 'CONFIRMED', 'REJECTED', 'WITHDRAWN')",
            name=op.f("ck_team_status_known"),
        ),
        sa.CheckConstraint("version >= 1", name=op.f("ck_team_version_positive")),
        sa.ForeignKeyConstraint(["church_id"], ["church.id"], name=op.f("fk_team_church_id")),
        sa.ForeignKeyConstraint(
            ["tournament_id"], ["tournament.id"], name=op.f("fk_team_tournament_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_team")),
        sa.UniqueConstraint("code", name="uq_team_code"),
    )
    op.create_index(
        "uq_team_live_captain_email",
        "team",
        ["tournament_id", "captain_email"],
        unique=True,
        postgresql_where=sa.text("status IN ('CHANGES_REQUESTED', 'CONFIRMED', 'PENDING')"),
    )
    op.create_index(
        "uq_team_live_captain_phone",
        "team",
        ["tournament_id", "captain_phone"],
        unique=True,
        postgresql_where=sa.text("status IN ('CHANGES_REQUESTED', 'CONFIRMED', 'PENDING')"),
    )
    op.create_index(
        "uq_team_live_name",
        "team",
        ["church_id", "normalized_name"],
        unique=True,
        postgresql_where=sa.text("status IN ('CHANGES_REQUESTED', 'CONFIRMED', 'PENDING')"),
    )
    op.create_table(
        "outbox_message",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=True),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_outbox_message_attempts_not_negative")),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_outbox_message_team_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox_message")),
    )
    op.create_index(
        "ix_outbox_message_due",
        "outbox_message",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_index(op.f("ix_outbox_message_team_id"), "outbox_message", ["team_id"], unique=False)
    op.create_table(
        "player",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("normalized_name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=True),
        sa.Column("jersey_number", sa.Integer(), nullable=True),
        sa.Column("date_of_birth", sa.Date(), nullable=True),
        sa.CheckConstraint(
            "role IN ('BATSMAN', 'BOWLER', 'ALL_ROUNDER', 'WICKET_KEEPER')",
            name=op.f("ck_player_role_known"),
        ),
        sa.CheckConstraint(
            "jersey_number BETWEEN 0 AND 999", name=op.f("ck_player_jersey_number_range")
        ),
        sa.CheckConstraint("position >= 1", name=op.f("ck_player_position_positive")),
        sa.ForeignKeyConstraint(["team_id"], ["team.id"], name=op.f("fk_player_team_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_player")),
        sa.UniqueConstraint("team_id", "jersey_number", name="uq_player_jersey_number"),
        sa.UniqueConstraint("team_id", "position", name="uq_player_position"),
    )
    op.execute("""
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = '42501';
        END $$
    """)
    op.execute("""
        CREATE TRIGGER audit_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_event
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
    """)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("player")
    op.drop_index(op.f("ix_outbox_message_team_id"), table_name="outbox_message")
    op.drop_index(
        "ix_outbox_message_due",
        table_name="outbox_message",
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.drop_table("outbox_message")
    op.drop_index(
        "uq_team_live_name",
        table_name="team",
        postgresql_where=sa.text("status IN ('CHANGES_REQUESTED', 'CONFIRMED', 'PENDING')"),
    )
    op.drop_index(
        "uq_team_live_captain_phone",
        table_name="team",
        postgresql_where=sa.text("status IN ('CHANGES_REQUESTED', 'CONFIRMED', 'PENDING')"),
    )
    op.drop_index(
        "uq_team_live_captain_email",
        table_name="team",
        postgresql_where=sa.text("status IN ('CHANGES_REQUESTED', 'CONFIRMED', 'PENDING')"),
    )
    op.drop_table("team")
    op.drop_index(op.f("ix_church_alias_church_id"), table_name="church_alias")
    op.drop_table("church_alias")
    op.drop_index("ix_church_name", table_name="church")
    op.drop_table("church")
    op.drop_index(
        "uq_tournament_active", table_name="tournament", postgresql_where=sa.text("is_active")
    )
    op.drop_table("tournament")
    op.drop_index(op.f("ix_idempotency_record_expires_at"), table_name="idempotency_record")
    op.drop_table("idempotency_record")
    op.drop_index("ix_audit_event_team_id", table_name="audit_event")
    op.drop_table("audit_event")
    op.execute("DROP FUNCTION refuse_change()")
