"""When a job's files were deleted by age; students of the moment, while a job trains"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0014"
down_revision = "0013"

COLUMNS = ("files_deleted_at", "preview_wanted", "keep_preview")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("files_deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("jobs", sa.Column("preview_wanted", sa.String(128), nullable=True))
    op.add_column("jobs", sa.Column("keep_preview", sa.Boolean(), nullable=True))
    op.create_table(
        "job_previews",
        sa.Column("job_id", sa.String(32), nullable=False),
        sa.Column("student", sa.String(128), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("mark", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("storage_key", sa.String(512), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_previews_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "student", "name", name=op.f("pk_job_previews")),
    )


def downgrade() -> None:
    op.drop_table("job_previews")
    with op.batch_alter_table("jobs") as table:
        for column in COLUMNS:
            table.drop_column(column)
