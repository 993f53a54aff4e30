"""A function `refuse` that ends its statement with an error, which rolls it back."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE FUNCTION refuse(code text) RETURNS text LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'refused' USING ERRCODE = code;
        END $$
    """)


def downgrade() -> None:
    op.execute("DROP FUNCTION refuse(text)")
