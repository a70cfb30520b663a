"""Pause, retry, a fair queue, checkpoints off the worker, totals"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

KEPT = sa.text("checkpoint_key IS NOT NULL")


def upgrade() -> None:
    with op.batch_alter_table("jobs") as table:
        table.add_column(sa.Column("stop_requested", sa.String(length=16), nullable=True))
        table.add_column(sa.Column("checkpoint_key", sa.String(length=256), nullable=True))
        table.add_column(sa.Column("checkpoint_epoch", sa.BigInteger(), nullable=False, server_default="0"))
        table.add_column(sa.Column("retry_of", sa.String(length=32), nullable=True))
        table.drop_index("ix_jobs_state_priority_id")
        table.create_index("ix_jobs_tenant_state_id", ["tenant", "state", "id"])
        table.create_index("ix_jobs_state_priority_tenant_id", ["state", "priority", "tenant", "id"])
    op.execute("UPDATE jobs SET stop_requested = 'cancel' WHERE cancel_requested")
    with op.batch_alter_table("jobs") as table:
        table.drop_column("cancel_requested")
        table.alter_column("checkpoint_epoch", existing_type=sa.BigInteger(), server_default=None)
    op.create_index("ix_jobs_checkpoint_key", "jobs", ["checkpoint_key"], postgresql_where=KEPT, sqlite_where=KEPT)
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("ix_jobs_user_metadata", "jobs", ["user_metadata"], postgresql_using="gin")
    op.create_table(
        "queue_turns",
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("turn", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("priority", "tenant", name="pk_queue_turns"),
    )
    op.create_table(
        "totals",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", "label", name="pk_totals"),
    )


def downgrade() -> None:
    op.drop_table("totals")
    op.drop_table("queue_turns")
    if op.get_bind().dialect.name == "postgresql":
        op.drop_index("ix_jobs_user_metadata", "jobs")
    op.drop_index("ix_jobs_checkpoint_key", "jobs")
    with op.batch_alter_table("jobs") as table:
        table.add_column(sa.Column("cancel_requested", sa.Boolean(), nullable=False, server_default=sa.false()))
        table.drop_index("ix_jobs_state_priority_tenant_id")
        table.drop_index("ix_jobs_tenant_state_id")
        table.create_index("ix_jobs_state_priority_id", ["state", "priority", "id"])
    op.execute("UPDATE jobs SET cancel_requested = (stop_requested = 'cancel') WHERE stop_requested IS NOT NULL")
    with op.batch_alter_table("jobs") as table:
        table.alter_column("cancel_requested", existing_type=sa.Boolean(), server_default=None)
        for column in ("retry_of", "checkpoint_epoch", "checkpoint_key", "stop_requested"):
            table.drop_column(column)
