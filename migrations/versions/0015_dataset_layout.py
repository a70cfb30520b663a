"""How an archive was read, what its owner says about it, and the question that an import may ask"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    for name in ("options", "layout"):
        op.add_column("datasets", sa.Column(name, sa.JSON().with_variant(JSONB(), "postgresql"), nullable=True))
    op.add_column("datasets", sa.Column("answered_epoch", sa.BigInteger(), server_default="0", nullable=False))


def downgrade() -> None:
    # what waits for an answer would have no state that the version before knows
    op.execute("UPDATE datasets SET state = 'validating', worker_id = NULL WHERE state = 'needs_answer'")
    with op.batch_alter_table("datasets") as table:
        table.drop_column("answered_epoch")
        table.drop_column("layout")
        table.drop_column("options")
