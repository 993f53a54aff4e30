"""Workers lease messages of their kinds without reading those of other kinds."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_IS_PENDING = sa.text("finished_at IS NULL AND dead_at IS NULL")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_index(
        "ix_outbox_message_pending",
        "outbox_message",
        ["kind", "due_at"],
        postgresql_where=_IS_PENDING,
    )
    op.drop_index("ix_outbox_message_due", table_name="outbox_message")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_index(
        "ix_outbox_message_due", "outbox_message", ["due_at"], postgresql_where=_IS_PENDING
    )
    op.drop_index("ix_outbox_message_pending", table_name="outbox_message")
