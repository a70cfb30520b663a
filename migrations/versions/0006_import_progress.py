"""How far the import of a data set is"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    with op.batch_alter_table("datasets") as table:
        table.add_column(sa.Column("progress", sa.Double(), nullable=False, server_default="0"))
    op.execute("UPDATE datasets SET progress = 1 WHERE state = 'ready'")
    with op.batch_alter_table("datasets") as table:
        table.alter_column("progress", existing_type=sa.Double(), server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("datasets") as table:
        table.drop_column("progress")
