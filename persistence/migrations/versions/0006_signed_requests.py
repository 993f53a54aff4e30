"""API tokens with signed requests, and the nonces of those requests."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        "api_token",
        sa.Column("is_signed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.create_table(
        "request_nonce",
        sa.Column("api_token_id", sa.Uuid(), nullable=False),
        sa.Column("nonce", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["api_token_id"],
            ["api_token.id"],
            name=op.f("fk_request_nonce_api_token_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("api_token_id", "nonce", name=op.f("pk_request_nonce")),
    )
    op.create_index("ix_request_nonce_expires_at", "request_nonce", ["expires_at"])


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("request_nonce")
    op.drop_column("api_token", "is_signed")
