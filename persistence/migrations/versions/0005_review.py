"""Indexes for pages of teams, positions of players, a trigger for merged churches."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("team", sa.Column("next_position", sa.Integer(), nullable=True))
    op.execute("""
        UPDATE team SET next_position = 1 + coalesce(
            (SELECT max(position) FROM player WHERE team_id = team.id), 0)
    """)
    op.alter_column("team", "next_position", nullable=False)
    length = sa.text("length(code)")
    op.create_index("ix_team_code_length", "team", ["tournament_id", length, "code"])
    op.create_index("ix_team_registered_at", "team", ["tournament_id", "registered_at", "id"])
    op.create_index("ix_team_normalized_name", "team", ["tournament_id", "normalized_name", "id"])
    op.create_index("ix_team_church_id", "team", ["church_id", length, "code"])
    op.create_index(
        "ix_player_person",
        "player",
        ["normalized_name", "date_of_birth"],
        postgresql_where=sa.text("date_of_birth IS NOT NULL"),
    )
    # A registration that waited for a church which was merged away meanwhile looked its aliases
    # up before that. The code makes the service try the registration again.
    op.execute("""
        CREATE FUNCTION refuse_alias() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM church_alias WHERE tournament_id = NEW.tournament_id
                       AND normalized_name = NEW.normalized_name) THEN
                RAISE EXCEPTION 'the church is known under another name'
                    USING ERRCODE = 'serialization_failure';
            END IF;
            RETURN NULL;
        END $$
    """)
    op.execute("""
        CREATE TRIGGER church_is_no_alias AFTER INSERT ON church
        FOR EACH ROW EXECUTE FUNCTION refuse_alias()
    """)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TRIGGER church_is_no_alias ON church")
    op.execute("DROP FUNCTION refuse_alias")
    op.drop_index("ix_player_person", "player")
    op.drop_index("ix_team_church_id", "team")
    op.drop_index("ix_team_normalized_name", "team")
    op.drop_index("ix_team_registered_at", "team")
    op.drop_index("ix_team_code_length", "team")
    op.drop_column("team", "next_position")
