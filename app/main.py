"""The HTTP application. Importing it never imports torch."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from app.api import errors, openapi
from app.api.middleware import BodyLimit, RequestContext
from app.api.routes import catalog, datasets, health, jobs, results
from app.api.uploads import FORM_OVERHEAD_BYTES
from app.db.engine import Store
from app.logs import configure_logging
from app.queue import make_celery
from app.settings import Settings
from app.storage.blobs import Blobs

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
    errors.install(app)
    upload_bytes = settings.max_upload_bytes + FORM_OVERHEAD_BYTES
    app.add_middleware(BodyLimit, default=JSON_BODY_BYTES, by_path={"/v1/datasets": upload_bytes})
    app.add_middleware(RequestContext)  # added last, so it is around everything
    for routes in (datasets, catalog, jobs, results, health):
        app.include_router(routes.router)
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    configure_logging(settings.log_level)
    app.state.store = Store(settings.database)
    app.state.blobs = Blobs(settings.storage)
    app.state.celery = make_celery(settings)
    try:
        yield
    finally:
        app.state.celery.close()
        app.state.store.close()
