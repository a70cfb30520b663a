"""Liveness, readiness and metrics."""

from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from app.api.deps import AppBlobs, AppCelery, AppSettings, AppStore, AppTelemetry
from app.api.problems import ProblemItem, problem_response
from app.api.query import require_known_query
from app.api.schemas.common import Health
from app.domain.errors import StoreUnavailable
from app.services import health

router = APIRouter(tags=["health"], dependencies=[Depends(require_known_query)])


@router.get("/healthz", operation_id="liveness", summary="Check that the process is alive")
async def liveness() -> Health:  # in no thread: those may all hang in a database
    """Does not check the backing services. Restart the process if this fails."""
    return Health()


@router.get(
    "/readyz", operation_id="readiness", summary="Check that the backing services are available", response_model=Health
)
def readiness(store: AppStore, celery: AppCelery, blobs: AppBlobs, settings: AppSettings) -> Health | JSONResponse:
    """Checks database, broker and storage; a 503 lists in `errors` those that are unavailable. Counts the workers that
    give signs of life: 200 with none of them means that jobs are accepted and wait."""
    answers = health.check(store, celery, blobs)
    away = [name for name, answered in answers.items() if not answered]
    if not away:
        alive = health.living_workers(store, settings.lease_seconds)
        return Health(checks=dict.fromkeys(answers, "ok"), workers=alive)
    return problem_response(
        StoreUnavailable(
            f"Unavailable: {', '.join(away)}. Available: {', '.join(set(answers) - set(away)) or 'nothing'}.",
            hint="Try again in a few seconds; the service's log has the cause.",
        ),
        "/readyz",
        errors=[
            ProblemItem(param=name, code="away" if name in away else "ok", detail="away" if name in away else "ok")
            for name in answers
        ],
    )


@router.get("/metrics", operation_id="metrics", summary="Metrics for Prometheus", response_class=PlainTextResponse)
def metrics(telemetry: AppTelemetry) -> Response:
    """Counts and durations over all tenants in Prometheus' text format. Needs no key: it contains no data, names or ids
    of tenants. Answers 503 while the database is unavailable."""
    return Response(telemetry.exposition(), media_type=CONTENT_TYPE_LATEST)
