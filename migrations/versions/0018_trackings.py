"""Where a job is to be logged when it ends, and what became of that"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0017"

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
TIME = sa.DateTime(timezone=True)
PENDING = sa.text("state = 'pending'")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("track", JSON, nullable=True))
    op.create_table(
        "trackings",
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("target", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("next_attempt_at", TIME, nullable=True),
        sa.Column("url", sa.String(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("finished_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_trackings_job_id_jobs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "target", name="pk_trackings"),
    )
    op.create_index(
        "ix_trackings_due", "trackings", ["next_attempt_at"], postgresql_where=PENDING, sqlite_where=PENDING
    )


def downgrade() -> None:
    op.drop_table("trackings")
    with op.batch_alter_table("jobs") as table:
        table.drop_column("track")
