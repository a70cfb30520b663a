"""When a running job will end by its own pace, how long a queued one will run, and how fast each kind of machine is"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    with op.batch_alter_table("jobs") as table:
        # it stood still between two lines of a job; running jobs have a new estimate within a second
        table.drop_column("eta_seconds")
        table.add_column(sa.Column("expected_end", sa.DateTime(timezone=True), nullable=True))
        table.add_column(sa.Column("expected_seconds", sa.Double(), nullable=True))
    op.add_column("workers", sa.Column("machine", sa.String(256), nullable=True))
    op.add_column("workers", sa.Column("memory_bytes", sa.BigInteger(), nullable=True))
    op.create_table(
        "speeds",
        sa.Column("machine", sa.String(256), nullable=False),
        sa.Column("work", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(128), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("how", sa.String(64), nullable=False),
        sa.Column("amounts", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.Column("of_jobs", sa.Boolean(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("machine", "work", "subject", "size", "how", name=op.f("pk_speeds")),
    )


def downgrade() -> None:
    op.drop_table("speeds")
    op.drop_column("workers", "memory_bytes")
    op.drop_column("workers", "machine")
    with op.batch_alter_table("jobs") as table:
        table.drop_column("expected_seconds")
        table.drop_column("expected_end")
        table.add_column(sa.Column("eta_seconds", sa.Double(), nullable=True))
