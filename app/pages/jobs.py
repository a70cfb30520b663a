"""`/jobs` and `/jobs/{id}`."""

from typing import Annotated, Any

from fastapi import BackgroundTasks, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from app import queue
from app.api.deps import AppBlobs, AppNotifier, AppSettings, CurrentCaller, ReadSession, WriteSession, read_in_turn
from app.api.params import METADATA_PARAMETER_DOCS, AfterJob, MetadataFilter
from app.db.models import Job, JobEvent
from app.db.queries import jobs as queries
from app.domain.access import Caller
from app.domain.errors import InvalidRequest, NotFound, TdmrError
from app.domain.previews import PREVIEW_ONNX
from app.domain.states import TERMINAL_JOB_STATES, JobState
from app.pages import figures
from app.pages.deps import CurrentViewer, Posted, seen, text_of
from app.pages.job_lines import JobLine, lines
from app.pages.job_view import LEAD, explained_method, file_lines, possible, read_choice, read_evaluation, stages
from app.pages.rendering import page
from app.pages.routing import page_router
from app.pages.verdict import verdict
from app.services import artifacts, job_actions, jobs, metrics, overview, previews
from app.services.job_files import JobFiles
from app.settings import Settings

router = page_router()

LISTED = 25
EVENTS_READ, EVENTS_SHOWN = 1000, 60


@router.get("/jobs", openapi_extra=METADATA_PARAMETER_DOCS)
def job_list(
    request: Request,
    caller: CurrentCaller,
    viewer: CurrentViewer,
    session: ReadSession,
    settings: AppSettings,
    metadata: MetadataFilter,
    state: Annotated[list[JobState], Query()] = [],  # noqa: B006
    after: AfterJob = None,
) -> Response:
    found = jobs.page(session, caller.tenant, after=after, limit=LISTED, states=state, metadata=metadata)
    return page(
        request,
        viewer,
        "jobs.html",
        lines=lines(session, settings, caller.tenant, found.items),
        has_more=found.has_more,
        after=after,
        chosen=[each.value for each in state],
        metadata=metadata,
        counts=overview.count_jobs(session, caller.tenant),
    )


@router.get("/jobs/{job_id}")
async def job_page(
    request: Request,
    job_id: str,
    caller: CurrentCaller,
    viewer: CurrentViewer,
    settings: AppSettings,
    blobs: AppBlobs,
    student: str | None = None,
) -> Response:
    def read(session: ReadSession) -> dict[str, Any]:
        row = jobs.find(session, caller.tenant, job_id)
        [line] = lines(session, settings, caller.tenant, [row])
        events = _last_events(session, caller.tenant, row.id)
        shown = student if student in line.students else line.students[0] if line.students else None
        evaluation = None
        if row.state == JobState.SUCCEEDED:
            try:
                of_several = shown if len(line.students) > 1 else None
                evaluation = read_evaluation(metrics.evaluation(session, caller.tenant, row.id, of_several))
            except TdmrError:
                evaluation = None
        return {
            "line": line,
            "events": events,
            "shown": shown,
            "evaluation": evaluation,
            "previews": previews.moments(session, row),
            "files": {file.name: file for file in artifacts.listing(session, caller.tenant, row.id)},
        }

    values = await read_in_turn(request, read)
    found = await run_in_threadpool(_results, JobFiles(blobs, values["files"]), values)
    return page(request, viewer, "job.html", **found)


def _results(files: JobFiles, values: dict[str, Any]) -> dict[str, Any]:
    """What of it takes reading files: no session is open meanwhile."""
    line, evaluation, shown = values["line"], values["evaluation"], values["shown"]
    assert isinstance(line, JobLine)
    prefix = f"{shown}/" if line.spec.get("students") and shown else ""
    choice = read_choice(line.job.choice)
    chosen = choice.file if choice else None
    manifest = files.manifest(prefix) if evaluation else None
    comparison = files.comparison() if evaluation else None
    if comparison is None and manifest and evaluation:
        comparison = figures.own_files(manifest, evaluation, str(shown))
    constraints = choice.constraints if choice else None
    events = values["events"]
    steps = [int(match[1]) for event in events if event.code == "labels_lead" and (match := LEAD.search(event.message))]
    return {
        "line": line,
        "job": line.job,
        "shown": shown,
        "stages": stages(line, events),
        "events": list(reversed(events))[:EVENTS_SHOWN],
        "events_total": events[-1].seq if events else 0,
        "actions": possible(line),
        "method": explained_method(line),
        "evaluation": evaluation,
        "verdict": verdict(evaluation) if evaluation else None,
        "matrix": figures.matrix(evaluation) if evaluation else None,
        "confusions": [cell for cell in evaluation.cells if cell.label != cell.predicted][:8] if evaluation else [],
        "bins": figures.reliability(evaluation.judged) if evaluation else [],
        "tradeoff": figures.tradeoff(comparison, constraints, chosen) if comparison else None,
        "comparison": comparison,
        "manifest": manifest,
        "files": file_lines({name: file.bytes for name, file in files.by_name.items()}, prefix, manifest, chosen),
        "prefix": prefix,
        "choice": choice,
        "labels_lead": steps[-1] if steps else None,
        # of several teachers each has its rounds, so there is no telling them apart by steps alone
        "round_steps": None if line.spec.get("teachers") else (line.spec.get("reprogram") or {}).get("steps"),
        "is_ended": line.job.state in TERMINAL_JOB_STATES,
        "previews": values["previews"],
        "can_try": prefix + "student.onnx" in files.by_name,
        "kept_preview": prefix + PREVIEW_ONNX in files.by_name,
        "card": prefix + "model_card.html" if prefix + "model_card.html" in files.by_name else None,
    }


@router.get("/jobs/{job_id}/cell")
def confusion_cell(
    request: Request,
    job_id: str,
    caller: CurrentCaller,
    viewer: CurrentViewer,
    session: ReadSession,
    settings: AppSettings,
    label: str,
    predicted: str,
    student: str | None = None,
) -> Response:
    """The images behind a cell of the confusion matrix."""
    row = jobs.find(session, caller.tenant, job_id)
    evaluation = read_evaluation(metrics.evaluation(session, caller.tenant, job_id, student))
    cells = evaluation.cells if evaluation else ()
    found = next((cell for cell in cells if (cell.label, cell.predicted) == (label, predicted)), None)
    if found is None:
        raise NotFound("No image of this class got this answer.", hint="Go back to the job.")
    [line] = lines(session, settings, caller.tenant, [row])
    return page(request, viewer, "cell.html", line=line, cell=found, student=student)


@router.post("/forms/jobs/{job_id}")
def act(
    job_id: str,
    caller: CurrentCaller,
    form: Posted,
    session: WriteSession,
    settings: AppSettings,
    blobs: AppBlobs,
    notifier: AppNotifier,
    background: BackgroundTasks,
) -> Response:
    """What a button on a job's page does: what the API's route of that name does."""
    action = text_of(form, "action")
    if action == "delete":
        job_actions.delete(session, blobs, caller, job_id)
        return seen("/jobs")
    job = _done(action, session, settings, caller, job_id)
    if action in {"resume", "retry", "rerun"}:
        background.add_task(notifier.notify, queue.TRAIN_TASK, job.id)
    return seen(f"/jobs/{job.id}")


def _done(action: str, session: WriteSession, settings: Settings, caller: Caller, job_id: str) -> Job:
    match action:
        case "cancel":
            return job_actions.cancel(session, caller, job_id)
        case "cancel_keeping_preview":
            return job_actions.cancel(session, caller, job_id, keep_preview=True)
        case "pause":
            return job_actions.pause(session, caller, job_id)
        case "resume":
            return job_actions.resume(session, settings.quotas, caller, job_id)
        case "retry":
            return job_actions.retry(session, settings.quotas, caller, job_id)
        case "rerun":
            return job_actions.rerun(session, settings.quotas, caller, job_id)
        case _:
            raise InvalidRequest("A job knows no such action.", param="action")


def _last_events(session: ReadSession, tenant: str, job_id: str) -> list[JobEvent]:
    """The youngest, oldest first; a job seldom has more than some hundred."""
    last = queries.last_event(session, job_id) or 0
    return list(jobs.events(session, tenant, job_id, after=max(0, last - EVENTS_READ), limit=EVENTS_READ).items)
