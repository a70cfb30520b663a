"""`/jobs/compare`: jobs side by side, as `GET /v1/jobs/compare` tells them."""

from typing import Annotated, Any

from fastapi import Query, Request, Response
from starlette.concurrency import run_in_threadpool

from app.api.deps import AppAnswerMarks, AppBlobs, AppSettings, CurrentCaller, ReadSession, read_in_turn
from app.api.params import SEVERAL_JOBS
from app.domain.job_comparison import MOST_JOBS
from app.pages.deps import CurrentViewer
from app.pages.job_lines import lines
from app.pages.rendering import page
from app.pages.routing import page_router
from app.services import comparison, jobs

router = page_router()

OFFERED = 50


@router.get("/jobs/compare")
async def compare_page(
    request: Request,
    caller: CurrentCaller,
    viewer: CurrentViewer,
    settings: AppSettings,
    blobs: AppBlobs,
    answers: AppAnswerMarks,
    ids: Annotated[str | None, Query(pattern=SEVERAL_JOBS)] = None,
    job: Annotated[list[str], Query(max_length=MOST_JOBS)] = [],  # noqa: B006
) -> Response:
    """The jobs of `ids`, or those that were ticked in the form, which sends each as `job`."""
    chosen = list(dict.fromkeys(ids.split(",") if ids else job))

    def offer(session: ReadSession) -> dict[str, Any]:
        found = jobs.page(session, caller.tenant, after=None, limit=OFFERED).items
        return {"offered": lines(session, settings, caller.tenant, found)}

    if len(chosen) < 2:
        values = await read_in_turn(request, offer)
        return page(request, viewer, "compare.html", comparison=None, titles={}, chosen=chosen, **values)
    subjects = await read_in_turn(request, lambda session: comparison.load(session, caller.tenant, chosen))
    found = await run_in_threadpool(comparison.compare, blobs, answers, subjects)

    def name(session: ReadSession) -> dict[str, str]:
        rows = [jobs.find(session, caller.tenant, each.id) for each in found.jobs]
        return {line.job.id: line.title for line in lines(session, settings, caller.tenant, rows)}

    titles = await read_in_turn(request, name)
    return page(request, viewer, "compare.html", comparison=found, titles=titles, chosen=chosen, offered=[])
