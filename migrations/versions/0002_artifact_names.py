"""Artefacts' names have room for a student's in front"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    with op.batch_alter_table("artifacts") as table:
        table.alter_column("name", existing_type=sa.String(length=128), type_=sa.String(length=256))
        table.alter_column("storage_key", existing_type=sa.String(length=256), type_=sa.String(length=512))


def downgrade() -> None:
    with op.batch_alter_table("artifacts") as table:
        table.alter_column("storage_key", existing_type=sa.String(length=512), type_=sa.String(length=256))
        table.alter_column("name", existing_type=sa.String(length=256), type_=sa.String(length=128))
