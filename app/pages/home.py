"""`/`: what runs, what waits and why, what ended, who works, what is stored; for an empty service how to begin."""

from fastapi import Request, Response

from app.api.deps import AppSettings, CurrentCaller, ReadSession
from app.domain.errors import CatalogEmpty
from app.domain.states import TERMINAL_JOB_STATES, JobState
from app.pages.deps import CurrentViewer, seen
from app.pages.job_lines import JobLine, lines
from app.pages.rendering import page
from app.pages.routing import page_router
from app.services import catalog, datasets, jobs, overview

router = page_router()

RUNNING, WAITING, ENDED, IMPORTS = 20, 12, 8, 6
"""Lines of each kind; the list of jobs has the rest."""


@router.get("/")
def home(
    request: Request, caller: CurrentCaller, viewer: CurrentViewer, session: ReadSession, settings: AppSettings
) -> Response:
    tenant, quotas = caller.tenant, settings.quotas

    def some(states: frozenset[JobState] | set[JobState], limit: int) -> list[JobLine]:
        found = jobs.page(session, tenant, after=None, limit=limit, states=sorted(states)).items
        return lines(session, settings, tenant, found)

    counts = overview.count_jobs(session, tenant)
    newest = datasets.page(session, tenant, after=None, limit=1).items
    try:
        offers = bool(catalog.offer(session).students)
    except CatalogEmpty:
        offers = False
    return page(
        request,
        viewer,
        "home.html",
        counts=counts,
        running=some({JobState.RUNNING}, RUNNING),
        waiting=sorted(some({JobState.QUEUED, JobState.PAUSED}, WAITING), key=_place),
        ended=some(set(TERMINAL_JOB_STATES), ENDED),
        imports=overview.imports(session, tenant, IMPORTS),
        unanswered=overview.unanswered(session, tenant, IMPORTS),
        workers=overview.seen_workers(session, tenant, settings.lease_seconds),
        storage=overview.storage(session, quotas, tenant),
        newest=newest[0] if newest else None,
        offers=offers,
    )


@router.get("/forms/{noun}")
async def form_again(noun: str) -> Response:
    """Where the address of a form is opened, of which a page stood there."""
    return seen({"jobs": "/jobs/new", "keys": "/keys", "sign-in": "/sign-in"}.get(noun, "/"))


def _place(line: JobLine) -> int:
    """The next one first, paused ones last."""
    return line.job.queue.position if line.job.queue else 10**9
