"""Resumable uploads; finding what a tenant has uploaded before"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "uploads",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("upload_metadata", sa.String(), nullable=False),
        sa.Column("dataset_id", sa.String(length=32), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
    )
    op.create_index("ix_uploads_tenant_id", "uploads", ["tenant", "id"])
    op.create_index("ix_uploads_expires_at", "uploads", ["expires_at"])
    op.create_index("ix_datasets_tenant_sha256", "datasets", ["tenant", "sha256"])
    op.create_index("ix_datasets_upload_key", "datasets", ["upload_key"])
    op.create_index("ix_datasets_prepared_key", "datasets", ["prepared_key"])


def downgrade() -> None:
    op.drop_index("ix_datasets_prepared_key", "datasets")
    op.drop_index("ix_datasets_upload_key", "datasets")
    op.drop_index("ix_datasets_tenant_sha256", "datasets")
    op.drop_table("uploads")
