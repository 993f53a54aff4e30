"""A version of tournaments, and an HMAC of the last change of tournaments and teams."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        "tournament",
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
    )
    op.create_check_constraint(op.f("ck_tournament_version_positive"), "tournament", "version >= 1")
    op.add_column("tournament", sa.Column("last_change", sa.LargeBinary(), nullable=True))
    op.add_column("team", sa.Column("last_change", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("team", "last_change")
    op.drop_column("tournament", "last_change")
    op.drop_constraint(op.f("ck_tournament_version_positive"), "tournament")
    op.drop_column("tournament", "version")
