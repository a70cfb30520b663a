"""What one application holds from start to end."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from celery import Celery
from starlette.concurrency import run_in_threadpool

from app.api.live.changes import ChangeFeed
from app.api.notify import JobNotifier
from app.api.ratelimit import RateLimiter
from app.api.report_pages import ReportPages
from app.api.telemetry import Telemetry
from app.db.engine import Store
from app.inference.predictor import Predictor
from app.queue import make_celery
from app.services import uploads
from app.services.answer_marks import AnswerMarks
from app.services.authentication import Authenticator
from app.services.sessions import Sessions
from app.settings import Settings
from app.storage.blobs import Blobs
from app.storage.partial import PartialUploads

CONCURRENT_REQUESTS = 8
"""Limits concurrent database requests; a waiting request holds no thread and no connection. Python runs one thread at a
time, so more would only slow each other down; with fewer, some that wait for a lock would block the rest. Without a
limit, under load, requests with a connection would wait for a thread and those with a thread for a connection."""

SWEEP_SECONDS = 600.0

logger = logging.getLogger(__name__)


@dataclass
class AppResources:
    """Routes reach each of them through a dependency of `app.api.deps`."""

    settings: Settings
    store: Store
    blobs: Blobs
    partials: PartialUploads
    celery: Celery
    notifier: JobNotifier
    authenticator: Authenticator
    sessions: Sessions
    limiter: RateLimiter
    predictor: Predictor
    report_pages: ReportPages
    answer_marks: AnswerMarks
    telemetry: Telemetry
    turns: asyncio.Semaphore
    """Held by each request with a database session."""
    changes: ChangeFeed
    streams: Counter[str] = field(default_factory=Counter)
    """Open streams of server-sent events by who opened them."""


@asynccontextmanager
async def open_resources(settings: Settings, telemetry: Telemetry) -> AsyncIterator[AppResources]:
    """Open them for the block; uploads that are over are removed meanwhile."""
    store, blobs, celery = Store(settings.database), Blobs(settings.storage), make_celery(settings)
    resources = AppResources(
        settings=settings,
        store=store,
        blobs=blobs,
        partials=PartialUploads(settings.partial_uploads),
        celery=celery,
        notifier=JobNotifier(celery),
        authenticator=Authenticator(store, settings.api_key),
        sessions=Sessions(store, settings.api_key),
        limiter=RateLimiter(settings),
        predictor=Predictor(
            blobs,
            at_once=settings.predict_at_once,
            cache_bytes=int(settings.predict_cache_gb * 1e9),
            max_pixels=settings.max_image_pixels,
            confine=settings.confine,
            cpu_seconds=settings.request_seconds / 2,
        ),
        report_pages=ReportPages(blobs),
        answer_marks=AnswerMarks(blobs),
        telemetry=telemetry,
        turns=asyncio.Semaphore(CONCURRENT_REQUESTS),
        changes=ChangeFeed(store),
    )
    try:
        with telemetry.watching(store, settings.heartbeat_seconds):
            async with _sweeping_uploads(store, resources.partials), resources.changes.running():
                yield resources
    finally:
        resources.notifier.close()
        resources.predictor.close()
        resources.report_pages.close()
        celery.close()
        store.close()


@asynccontextmanager
async def _sweeping_uploads(store: Store, partials: PartialUploads) -> AsyncIterator[None]:
    """Uploads that are over are removed, at once and from time to time. Here and not in a worker, since the files lie
    on the API's host; several processes of one host may do so at once."""
    sweeping = asyncio.create_task(_sweep(store, partials))
    try:
        yield
    finally:
        sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await sweeping


async def _sweep(store: Store, partials: PartialUploads) -> None:
    while True:
        try:
            await run_in_threadpool(uploads.sweep, store, partials)
        except Exception as error:
            logger.warning("uploads that are over were not removed: %s", str(error).partition("\n")[0])
        await asyncio.sleep(SWEEP_SECONDS)
