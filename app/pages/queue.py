"""`/queue`: who is next, and why."""

from fastapi import Request, Response

from app.api.deps import AppSettings, CurrentCaller, ReadSession
from app.api.params import AfterJob
from app.domain.access import Scope
from app.domain.states import JobState
from app.pages.deps import CurrentViewer
from app.pages.job_lines import lines
from app.pages.rendering import page
from app.pages.routing import page_router
from app.services import jobs, overview, quotas

router = page_router()

LISTED = 50


@router.get("/queue")
def queue_page(
    request: Request,
    caller: CurrentCaller,
    viewer: CurrentViewer,
    session: ReadSession,
    settings: AppSettings,
    after: AfterJob = None,
) -> Response:
    """Another tenant is counted and not named, but for the operator."""
    names_all = caller.is_operator and Scope.ADMIN in caller.scopes
    groups = [
        (group, group.tenant if names_all or group.tenant == caller.tenant else None)
        for group in overview.queue_groups(session, settings.quotas)
    ]
    found = jobs.page(session, caller.tenant, after=after, limit=LISTED, states=[JobState.QUEUED])
    waiting = lines(session, settings, caller.tenant, found.items)
    return page(
        request,
        viewer,
        "queue.html",
        groups=groups,
        waiting=sorted(waiting, key=lambda line: line.job.queue.position if line.job.queue else 0),
        last=found.items[-1].id if found.items else None,
        has_more=found.has_more,
        after=after,
        limits=quotas.of_tenant(session, settings.quotas, caller.tenant),
        running=overview.count_jobs(session, caller.tenant)[JobState.RUNNING],
        workers=[
            worker
            for worker in overview.seen_workers(session, caller.tenant, settings.lease_seconds)
            if worker.life.queue == "training" and worker.is_alive
        ],
    )
