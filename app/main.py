"""The HTTP application. Importing it never imports torch."""

import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from app.api import errors, openapi
from app.api.body_limit import BodyLimit
from app.api.browsers import AnswerHeaders, OwnPagesOnly
from app.api.middleware import RequestContext
from app.api.ratelimit import RateLimitHeaders
from app.api.resources import AppResources, open_resources
from app.api.routes import (
    audit,
    catalog,
    comparison,
    datasets,
    downloads,
    estimates,
    health,
    home,
    jobs,
    keys,
    predictions,
    reference,
    results,
    uploads,
    webhooks,
)
from app.api.short_paths import PREFIX, ShortPaths
from app.api.telemetry import Telemetry
from app.api.timeout import Deadline
from app.api.uploads.multipart import FORM_OVERHEAD_BYTES
from app.api.uploads.tus import Tus
from app.logs import configure_logging
from app.pages import install as install_pages
from app.settings import Settings

JSON_BODY_BYTES = 2**20
"""A job spec with everything spelt out has about 4 kB."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application for these settings; without any, for those of the environment.

    Raises:
        ValueError: if the settings would expose it without a key.
    """
    settings = settings or Settings()
    settings.check_exposed()
    telemetry = Telemetry()
    training = (uploads, datasets, catalog, comparison, estimates, jobs, results, downloads, predictions)
    routers = [module.router for module in (*training, webhooks, keys, audit, health, home, reference)]
    app = FastAPI(
        title="tdmr",
        version=version("tdmr"),
        summary="Self-hosted training of small vision models",
        description=openapi.DESCRIPTION,
        openapi_tags=openapi.TAGS,
        lifespan=partial(_lifespan, settings, telemetry),
        redirect_slashes=False,
        # FastAPI's own loads its scripts from a CDN, and writes the document anew for each request
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    errors.install(app)
    upload_bytes = settings.max_upload_bytes + FORM_OVERHEAD_BYTES
    app.add_middleware(Deadline, seconds=settings.request_seconds)
    app.add_middleware(RateLimitHeaders)
    app.add_middleware(
        BodyLimit,
        default=JSON_BODY_BYTES,
        by_path={
            re.compile("/v1/datasets/[^/]+/layout"): JSON_BODY_BYTES,
            re.compile("/v1/datasets(/.*)?"): upload_bytes,
            re.compile("/v1/uploads(/.*)?"): settings.max_upload_bytes,
            re.compile("/v1/jobs/[^/]+/predict"): settings.max_predict_bytes + FORM_OVERHEAD_BYTES,
        },
        least_rate=settings.upload_min_bytes_per_second,
        window_seconds=settings.upload_idle_seconds,
    )
    app.add_middleware(Tus, path="/v1/uploads")
    app.add_middleware(OwnPagesOnly, hosts=settings.hosts, trusted_pages=settings.named_hosts)
    app.add_middleware(RequestContext, seconds=telemetry.request_seconds)
    app.add_middleware(ShortPaths, nouns=_nouns(routers))
    app.add_middleware(AnswerHeaders)  # added last, so it is around everything
    install_pages(app)
    for router in routers:
        app.include_router(router)
    app.webhooks.include_router(webhooks.sent)
    app.router.routes.append(reference.files)
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]
    return app


def end_streams(app: FastAPI) -> None:
    """End what would otherwise go on for as long as its clients like, before the requests under way are waited for."""
    resources: AppResources | None = getattr(app.state, "resources", None)
    if resources is not None:  # None: told to stop before it had started
        resources.changes.close()


def _nouns(routers: Iterable[APIRouter]) -> frozenset[str]:
    """What stands behind `/v1/` in the paths of these routes: `jobs`, `datasets`, …"""
    paths = [route.path for router in routers for route in router.routes if isinstance(route, APIRoute)]
    return frozenset(path.split("/")[2] for path in paths if path.startswith(f"{PREFIX}/"))


@asynccontextmanager
async def _lifespan(settings: Settings, telemetry: Telemetry, app: FastAPI) -> AsyncIterator[None]:
    configure_logging(settings.log_level)
    async with open_resources(settings, telemetry) as app.state.resources:
        yield
