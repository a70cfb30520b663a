"""Who waits for a job or a data set, and the one query that tells all of them that something has changed."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeVar

import psycopg
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from app.db.engine import Store
from app.db.listening import changes
from app.db.queries.jobs import Stamp
from app.services.live import stamps

POLL_SECONDS = 0.5
"""A worker writes about once a second; looking twice as often adds a quarter of a second on average."""
POLL_LISTENING_SECONDS = 5.0
"""Where Postgres says when to look, this is for what it did not say."""
GATHER_SECONDS = 0.05
"""Changes that come thick are looked at together."""
AWAY_SECONDS = 5.0
KEPT_READS = 8
"""Of one row: streams that keep up with it ask for the same one or two. More are those of clients that catch up, and of
those that make ids up, each a megabyte at worst."""

Read = TypeVar("Read")

logger = logging.getLogger(__name__)


class Watched:
    """One row that somebody waits for."""

    def __init__(self) -> None:
        self.watchers = 0
        self.version = 0
        """Counts the changes that were noticed."""
        self.stamp: Stamp | None = None
        self.changed = asyncio.Event()
        self._reads: dict[Hashable, asyncio.Future[Any]] = {}

    def notice(self, stamp: Stamp | None) -> None:
        if self.version and stamp == self.stamp:
            return
        self.stamp = stamp
        self.version += 1
        self._reads.clear()
        self.wake()

    def wake(self) -> None:
        """All who wait now, and nobody who begins to wait later."""
        self.changed.set()
        self.changed = asyncio.Event()

    async def beyond(self, version: int, seconds: float) -> bool:
        """Wait until there is a later version, for so long at most. A caller that takes the version before it reads
        misses no change."""
        if self.version > version:
            return True
        with suppress(TimeoutError):
            await asyncio.wait_for(self.changed.wait(), seconds)
        return self.version > version

    async def read(self, key: Hashable, read: Callable[[], Awaitable[Read]]) -> Read:
        """What `read` gives; asked with one of the last keys again before the next change, it is not read again."""
        reading = self._reads.get(key)
        if reading is None:
            if len(self._reads) >= KEPT_READS:
                del self._reads[next(iter(self._reads))]  # the oldest; who waits for it holds it
            reading = self._reads[key] = asyncio.ensure_future(read())
            reading.add_done_callback(lambda done: self._forget_failure(key, done))
        # shielded: one of many may leave while the others wait for it
        result: Read = await asyncio.shield(reading)
        return result

    def _forget_failure(self, key: Hashable, done: asyncio.Future[Any]) -> None:
        if (done.cancelled() or done.exception() is not None) and self._reads.get(key) is done:
            del self._reads[key]


class ChangeFeed:
    """Looks for changes of all watched rows at once, while anything is watched; a wait holds neither a thread nor a
    connection. On Postgres it looks when the database says that something has changed, else twice a second."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._watched: dict[str, Watched] = {}
        self._look = asyncio.Event()
        self.listening = False
        """Whether Postgres says what changes."""
        self.closing = False
        """Set once the service is told to stop: streams end then."""

    @contextmanager
    def watch(self, object_id: str) -> Iterator[Watched]:
        """A job or a data set, by its id."""
        watched = self._watched.setdefault(object_id, Watched())
        watched.watchers += 1
        self._look.set()
        try:
            yield watched
        finally:
            watched.watchers -= 1
            if not watched.watchers:
                del self._watched[object_id]

    def close(self) -> None:
        """End every wait, now and from now on."""
        self.closing = True
        for watched in self._watched.values():
            watched.wake()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Looks for changes meanwhile."""
        tasks = [asyncio.create_task(self._poll())]
        if self._store.engine.dialect.name == "postgresql":
            tasks.append(asyncio.create_task(self._listen()))
        try:
            yield
        finally:
            self.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _poll(self) -> None:
        away = False
        while True:
            await self._until_it_is_time()
            try:
                found = await run_in_threadpool(self._stamps, tuple(self._watched))
            except SQLAlchemyError as error:
                if not away:
                    logger.warning("The store is away; streams wait: %s", str(error).partition("\n")[0])
                away = True
                await asyncio.sleep(POLL_SECONDS)
            else:
                away = False
                for object_id, watched in self._watched.items():
                    if object_id in found:
                        watched.notice(found[object_id])

    async def _until_it_is_time(self) -> None:
        seconds = POLL_LISTENING_SECONDS if self.listening else POLL_SECONDS
        with suppress(TimeoutError):
            await asyncio.wait_for(self._look.wait(), seconds if self._watched else None)
            await asyncio.sleep(GATHER_SECONDS)
        self._look.clear()

    async def _listen(self) -> None:
        while True:
            try:
                async for object_id in changes(self._store.engine.url.render_as_string(hide_password=False)):
                    self.listening = True
                    if object_id is None or object_id in self._watched:
                        self._look.set()
            except psycopg.Error as error:
                # the poll says the same, once, where it goes on for longer
                logger.info("Postgres does not say what changes: %s", str(error).partition("\n")[0])
            self.listening = False
            await asyncio.sleep(AWAY_SECONDS)

    def _stamps(self, object_ids: tuple[str, ...]) -> dict[str, Stamp | None]:
        with self._store.read() as session:
            return stamps(session, object_ids)
