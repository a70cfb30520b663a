"""The job store: tables, sessions, and every query. One tree for SQLite and Postgres."""
