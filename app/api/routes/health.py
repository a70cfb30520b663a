"""Liveness, readiness, figures."""

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from app.api.deps import AppBlobs, AppCelery, AppStore, AppTelemetry
from app.api.errors import RETRY_AFTER_SECONDS
from app.api.problems import ProblemItem, problem_response
from app.api.schemas import Health
from app.domain.errors import StoreUnavailable
from app.services import health

router = APIRouter(tags=["health"])


@router.get("/healthz", operation_id="liveness", summary="Whether the process answers")
async def liveness() -> Health:  # in no thread: those may all hang in a database
    """Says nothing about what the service stands on; restart the process when this fails."""
    return Health()


@router.get("/readyz", operation_id="readiness", summary="Whether work can be done", response_model=Health)
def readiness(store: AppStore, celery: AppCelery, blobs: AppBlobs) -> Health | JSONResponse:
    """Tries database, broker and storage; a 503 names in `errors` those that are away."""
    answers = health.check(store, celery, blobs)
    away = [name for name, answered in answers.items() if not answered]
    if not away:
        return Health(checks=dict.fromkeys(answers, "ok"))
    return problem_response(
        503,
        code=StoreUnavailable.code,
        title=StoreUnavailable.title,
        detail=f"Away: {', '.join(away)}. Answering: {', '.join(set(answers) - set(away)) or 'nothing'}.",
        hint="Try again in a few seconds; the service's log tells more.",
        errors=[
            ProblemItem(param=name, code="away" if name in away else "ok", detail="away" if name in away else "ok")
            for name in answers
        ],
        instance="/readyz",
        headers={"Retry-After": RETRY_AFTER_SECONDS},
    )


@router.get("/metrics", operation_id="metrics", summary="Figures for Prometheus", response_class=PlainTextResponse)
def metrics(telemetry: AppTelemetry) -> Response:
    """Counts and times over all tenants, in Prometheus' text format. Needs no key: they tell nobody's data, names or
    ids. Answers 503 while the database is away."""
    return Response(telemetry.exposition(), media_type=CONTENT_TYPE_LATEST)
