"""Which ended job a job repeats, and how well it did"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("rerun_of", sa.String(32), nullable=True))
    op.add_column("jobs", sa.Column("reproduces", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("jobs") as table:
        table.drop_column("reproduces")
        table.drop_column("rerun_of")
