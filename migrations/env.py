"""Runs the migrations on the engine that `app.db.migrate` hands over, all in one transaction."""

from alembic import context
from sqlalchemy import Engine, text

from app.db.models import Base

# Any constant will do, as long as nothing else takes this advisory lock.
MIGRATION_LOCK = 2304_02263


def run(engine: Engine) -> None:
    sqlite = engine.dialect.name == "sqlite"
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            render_as_batch=sqlite,  # SQLite alters a table by copying it
            transactional_ddl=True,  # true of SQLite too, with BEGIN sent by hand
            compare_type=True,
            include_object=lambda thing, *_: sqlite is False or not thing.info.get("postgresql_only"),
        )
        with context.begin_transaction():
            if not sqlite:
                # several hosts may start at once; SQLite's BEGIN IMMEDIATE lets them wait likewise
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            context.run_migrations()


run(context.config.attributes["engine"])
