"""Server-sent events of one job or data set, as they come."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from app.api.live.changes import Watched
from app.api.resources import AppResources
from app.api.schemas.datasets import DatasetRead
from app.api.schemas.jobs import JobRead, QueuePositionRead
from app.api.schemas.results import EventRead, MetricPoint
from app.db.models import JobMetric, Tracking
from app.domain.access import Caller
from app.domain.errors import NotFound, TooManyRequests
from app.domain.states import DatasetState, JobState, Stage
from app.services import datasets, keys, timing, trackings
from app.services.live import Cursor, News, news

PING_SECONDS = 15.0
"""A comment is sent after this long without news, so that no proxy takes the connection for dead. The key is looked up
again then."""
RECONNECT_MILLISECONDS = 2000
"""What a client is told to wait before it connects again."""
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""A proxy that keeps the answer back until it is complete would make a stream of no use."""


class Progress(BaseModel):
    """How far the job is; sent at the start, and whenever something of it has changed. The fields are those of the
    job."""

    state: JobState
    stage: Stage | None
    progress: float
    eta_seconds: float | None
    estimated_start: datetime | None
    estimated_end: datetime | None
    queue: QueuePositionRead | None
    metrics: dict[str, float]
    attempts: int
    cancel_requested: bool
    pause_requested: bool


class Curves(BaseModel):
    """Points of the curves. Where a resumed attempt goes over a step again, the later one counts."""

    points: list[MetricPoint]


class Frame(NamedTuple):
    """One event on the wire, and how much a client has heard with it."""

    cursor: Cursor
    sent: bytes


@dataclass(frozen=True, slots=True)
class Chapter:
    """What was read in one go."""

    frames: tuple[Frame, ...]
    progress: str
    cursor: Cursor
    has_more: bool
    end: str | None
    """The job as it ended, where nothing follows."""


class LiveStream(EventSourceResponse):
    """The answer to `Accept: text/event-stream`: what `tell` gives, again after each change, until it tells an end.

    Streams of one object that have heard equally much share one read and one encoding of what comes next.
    """

    def __init__(
        self,
        held: AppResources,
        caller: Caller,
        object_id: str,
        cursor: Cursor,
        tell: Callable[[Session, Cursor], Chapter],
    ) -> None:
        """
        Raises:
            TooManyRequests: if the caller has as many streams open as it may.
        """
        self._held, self._caller, self._object_id, self._tell = held, caller, object_id, tell
        most = held.settings.max_streams
        if held.streams[caller.actor] >= most:
            raise TooManyRequests(
                f"This key has {most} streams open.",
                retry_after=int(PING_SECONDS),
                hint="Close one of them, or poll with `?wait=30` instead.",
            )
        super().__init__(self._frames(cursor), headers=HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._held.streams[self._caller.actor] += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._held.streams[self._caller.actor] -= 1

    async def _frames(self, cursor: Cursor) -> AsyncIterator[bytes]:
        """Where the store is away or the job is deleted, the stream ends; who connects again is told which it is."""
        yield format_sse_event(retry=RECONNECT_MILLISECONDS)
        with suppress(SQLAlchemyError, NotFound):
            async for frame in self._told(cursor):
                yield frame

    async def _told(self, cursor: Cursor) -> AsyncIterator[bytes]:
        progress = ""
        with self._held.changes.watch(self._object_id) as watched:
            while True:
                version = watched.version
                chapter = await self._read(watched, cursor)
                for frame in chapter.frames:
                    yield frame.sent
                cursor = chapter.cursor
                if chapter.end is not None:
                    yield format_sse_event(event="end", data_str=chapter.end, id=str(cursor))
                    return
                if chapter.progress != progress:
                    progress = chapter.progress
                    yield format_sse_event(event="progress", data_str=progress, id=str(cursor))
                while not chapter.has_more:
                    if self._held.changes.closing:
                        return
                    if await watched.beyond(version, PING_SECONDS):
                        break
                    if not await run_in_threadpool(self._may_go_on):
                        return
                    yield KEEPALIVE_COMMENT

    async def _read(self, watched: Watched, cursor: Cursor) -> Chapter:
        def read() -> Chapter:
            with self._held.store.read() as session:
                return self._tell(session, cursor)

        async def read_in_turn() -> Chapter:
            async with self._held.turns:
                return await run_in_threadpool(read)

        return await watched.read(cursor, read_in_turn)

    def _may_go_on(self) -> bool:
        with self._held.store.read() as session:
            return keys.is_valid(session, self._caller)


def job_stream(held: AppResources, caller: Caller, job_id: str, cursor: Cursor) -> LiveStream:
    """A job's events, curves and progress from behind `cursor` on, and at the end the job as it ended."""

    def tell(session: Session, cursor: Cursor) -> Chapter:
        told = news(session, held.settings.quotas, caller.tenant, job_id, cursor)
        starts = timing.estimated_starts(session, held.settings.quotas, told.places, held.settings.lease_seconds)
        return _chapter(told, starts, trackings.of_jobs(session, [told.job]), cursor)

    return LiveStream(held, caller, job_id, cursor, tell)


def dataset_stream(held: AppResources, caller: Caller, dataset_id: str) -> LiveStream:
    """How far the import of a data set is, and at the end what came of it."""

    def tell(session: Session, cursor: Cursor) -> Chapter:
        dataset = datasets.find(session, caller.tenant, dataset_id)
        shown = DatasetRead.from_row(dataset, classes=datasets.class_names(session, dataset)).model_dump_json()
        is_over = dataset.state != DatasetState.VALIDATING
        return Chapter((), shown, cursor, has_more=False, end=shown if is_over else None)

    return LiveStream(held, caller, dataset_id, Cursor(), tell)


def _chapter(
    told: News, starts: Mapping[str, datetime], tracked: Mapping[str, Mapping[str, Tracking]], cursor: Cursor
) -> Chapter:
    frames = tuple(_frames(told, cursor))
    job = JobRead.from_row(told.job, told.places, starts, tracked)
    return Chapter(
        frames=frames,
        progress=Progress.model_validate(job, from_attributes=True).model_dump_json(),
        cursor=frames[-1].cursor if frames else cursor,
        has_more=told.has_more,
        end=job.model_dump_json() if told.is_last else None,
    )


def _frames(told: News, cursor: Cursor) -> Iterator[Frame]:
    for event in told.events:
        cursor = Cursor(event.seq, cursor.pieces)
        yield _frame("event", EventRead.from_row(event), cursor)
    for piece in told.pieces:
        cursor = Cursor(cursor.events, piece.seq)
        yield _frame("metrics", _curves(piece), cursor)


def _frame(kind: str, shown: BaseModel, cursor: Cursor) -> Frame:
    return Frame(cursor, format_sse_event(event=kind, data_str=shown.model_dump_json(), id=str(cursor)))


def _curves(piece: JobMetric) -> Curves:
    points: list[dict[str, Any]] = piece.points
    stage = Stage(piece.stage)
    return Curves(points=[MetricPoint(stage=stage, step=point["step"], values=point["values"]) for point in points])
