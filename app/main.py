"""The HTTP application. Importing it never imports torch."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from app.api import errors, openapi
from app.api.body import BodyLimit
from app.api.deadline import Deadline
from app.api.deps import REQUESTS_AT_WORK
from app.api.housekeeping import swept
from app.api.middleware import RequestContext
from app.api.multipart import FORM_OVERHEAD_BYTES
from app.api.nudge import Nudger
from app.api.ratelimit import RateLimiter, RateLimitHeaders
from app.api.routes import audit, catalog, datasets, downloads, health, jobs, keys, predictions, results, uploads
from app.api.telemetry import Telemetry
from app.api.tus import Tus
from app.db.engine import Store
from app.inference.predictor import Predictor
from app.logs import configure_logging
from app.queue import make_celery
from app.services.keyring import KeyRing
from app.settings import Settings
from app.storage.blobs import Blobs
from app.storage.partial import PartialUploads

JSON_BODY_BYTES = 2**20
"""A job spec with everything spelt out has about 4 kB."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application for these settings; without any, for those of the environment.

    Raises:
        ValueError: if the settings would expose it without a key.
    """
    settings = settings or Settings()
    settings.check_exposed()
    app = FastAPI(
        title="tdmr",
        version=version("tdmr"),
        summary="Self-hosted training of small vision models",
        description=openapi.DESCRIPTION,
        openapi_tags=openapi.TAGS,
        lifespan=_lifespan,
        redirect_slashes=False,
    )
    app.state.settings = settings
    app.state.telemetry = telemetry = Telemetry()
    errors.install(app)
    upload_bytes = settings.max_upload_bytes + FORM_OVERHEAD_BYTES
    app.add_middleware(Deadline, seconds=settings.request_seconds)
    app.add_middleware(RateLimitHeaders)
    app.add_middleware(
        BodyLimit,
        default=JSON_BODY_BYTES,
        by_path={
            re.compile("/v1/datasets(/.*)?"): upload_bytes,
            re.compile("/v1/uploads(/.*)?"): settings.max_upload_bytes,
            re.compile("/v1/jobs/[^/]+/predict"): settings.max_predict_bytes + FORM_OVERHEAD_BYTES,
        },
        least_rate=settings.upload_min_bytes_per_second,
        window_seconds=settings.upload_idle_seconds,
    )
    app.add_middleware(Tus, path="/v1/uploads")
    app.add_middleware(RequestContext, seconds=telemetry.request_seconds)  # added last, so it is around everything
    for routes in (uploads, datasets, catalog, jobs, results, downloads, predictions, keys, audit, health):
        app.include_router(routes.router)
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    configure_logging(settings.log_level)
    app.state.store = Store(settings.database)
    app.state.turns = asyncio.Semaphore(REQUESTS_AT_WORK)
    app.state.keyring = KeyRing(app.state.store, settings.api_key)
    app.state.limiter = RateLimiter(settings)
    app.state.blobs = Blobs(settings.storage)
    app.state.partials = PartialUploads(settings.partial_uploads)
    app.state.celery = make_celery(settings)
    app.state.nudger = Nudger(app.state.celery)
    app.state.predictor = Predictor(
        app.state.blobs,
        at_once=settings.predict_at_once,
        cache_bytes=int(settings.predict_cache_gb * 1e9),
        max_pixels=settings.max_image_pixels,
    )
    try:
        with app.state.telemetry.of(app.state.store, settings.heartbeat_seconds):
            async with swept(app.state.store, app.state.partials):
                yield
    finally:
        app.state.nudger.close()
        app.state.predictor.close()
        app.state.celery.close()
        app.state.store.close()
