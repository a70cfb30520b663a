"""Postgres says which job or data set has changed, to whoever listens"""

from alembic import op

revision = "0009"
down_revision = "0008"

CHANNEL = "tdmr_changes"
TABLES = ("jobs", "datasets")


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute(
        f"""
        CREATE FUNCTION tdmr_tell_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_notify('{CHANNEL}', NEW.id);
            RETURN NULL;
        END $$
        """
    )
    for table in TABLES:
        op.execute(
            f"""
            CREATE TRIGGER tdmr_change AFTER UPDATE ON {table} FOR EACH ROW
            WHEN (OLD.updated_at IS DISTINCT FROM NEW.updated_at) EXECUTE FUNCTION tdmr_tell_change()
            """
        )


def downgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for table in TABLES:
        op.execute(f"DROP TRIGGER tdmr_change ON {table}")
    op.execute("DROP FUNCTION tdmr_tell_change()")
