"""What Postgres says of itself: which rows have changed (migration 0009)."""

from collections.abc import AsyncIterator

import psycopg
from sqlalchemy import make_url

CHANNEL = "tdmr_changes"
CONNECT_SECONDS = 5


async def changes(url: str) -> AsyncIterator[str | None]:
    """Ids of jobs and data sets as they change, over one connection; None once, when it listens.

    A hint and no more: a pooler may swallow it, and what was committed before it listened is not told.

    Raises:
        psycopg.Error: if the server is away.
    """
    dsn = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await psycopg.AsyncConnection.connect(dsn, autocommit=True, connect_timeout=CONNECT_SECONDS)
    async with connection:
        await connection.execute(f"LISTEN {CHANNEL}")
        yield None
        async for notification in connection.notifies():
            yield notification.payload
