"""The address that a data set is fetched from, and which data set an Idempotency-Key has made"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.add_column("datasets", sa.Column("source_url", sa.Text(), nullable=True))
    op.create_table(
        "dataset_idempotency_keys",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("request_sha256", sa.String(length=64), nullable=False),
        sa.Column("dataset_id", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["datasets.id"],
            name="fk_dataset_idempotency_keys_dataset_id_datasets",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant", "key", name="pk_dataset_idempotency_keys"),
    )


def downgrade() -> None:
    op.drop_table("dataset_idempotency_keys")
    # without its address what is still to be fetched cannot be
    op.execute(
        "UPDATE datasets SET state = 'rejected', worker_id = NULL "
        "WHERE state = 'validating' AND source_url IS NOT NULL AND upload_key IS NULL"
    )
    with op.batch_alter_table("datasets") as table:
        table.drop_column("source_url")
