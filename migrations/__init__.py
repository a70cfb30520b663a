"""One Alembic tree for SQLite and Postgres; `app.db.migrate` runs it."""
