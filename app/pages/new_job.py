"""`/jobs/new`: data set → teacher → students → constraints; every option of the schema, folded away."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from fastapi import BackgroundTasks, Request, Response
from pydantic import ValidationError
from sqlalchemy.orm import Session

from app import queue
from app.api.deps import AppNotifier, AppSettings, CurrentCaller, ReadSession, WriteSession
from app.db.models import Dataset
from app.domain.catalog import StudentCard, TeacherCard
from app.domain.config import ExportConfig
from app.domain.errors import CatalogEmpty, InvalidSpec, TdmrError
from app.domain.methods import METHODS
from app.domain.spec import JobSpec
from app.domain.states import DatasetState
from app.pages import knobs
from app.pages.deps import CurrentViewer, Posted, seen
from app.pages.rendering import Viewer, page
from app.pages.routing import page_router
from app.services import catalog, datasets, jobs
from app.services.catalog import Offer

router = page_router()

DATASETS, MODELS = 100, 200
"""Of what a form offers; a name that is not among them can be typed in."""
FIRST_STUDENTS = ("mobilenetv3_small_050", "mobilenetv3_small_100", "resnet18")


@router.get("/jobs/new")
def ask(
    request: Request,
    caller: CurrentCaller,
    viewer: CurrentViewer,
    session: ReadSession,
    dataset_id: str = "",
    like: str = "",
) -> Response:
    spec: Mapping[str, Any] = {}
    if like:
        spec = jobs.find(session, caller.tenant, like).spec
    return _form(
        request, viewer, session, caller.tenant, {**spec, **({"dataset_id": dataset_id} if dataset_id else {})}
    )


@router.post("/forms/jobs")
def create(
    request: Request,
    caller: CurrentCaller,
    viewer: CurrentViewer,
    form: Posted,
    session: WriteSession,
    settings: AppSettings,
    notifier: AppNotifier,
    background: BackgroundTasks,
) -> Response:
    """Queues the job, or shows the form again with what is wrong."""
    catalog.learn_methods(session)
    wanted: dict[str, Any] = {}
    try:
        wanted = _spec({key: value for key, value in form.items() if isinstance(value, str)}, form.getlist)
        with session.begin_nested():
            job = jobs.submit(session, settings.quotas, caller, _validated(wanted)).job
    except TdmrError as problem:
        return _form(request, viewer, session, caller.tenant, wanted, problem)
    background.add_task(notifier.notify, queue.TRAIN_TASK, job.id)
    return seen(f"/jobs/{job.id}")


def _spec(sent: Mapping[str, str], every: Any) -> dict[str, Any]:
    """The job as the API takes it: what was left at its default is left out."""
    students = _names(*every("students"), sent.get("student_names", ""))
    spec: dict[str, Any] = {"dataset_id": sent.get("dataset_id", "")}
    first = sent.get("teacher_name", "").strip() or sent.get("teacher", "")
    teachers = _names(first, sent.get("more_teachers", ""))
    if len(teachers) == 1:
        spec["teacher"] = teachers[0]
    elif teachers:
        spec["teachers"] = teachers
    if len(students) == 1:
        spec["student"] = students[0]
    elif students:
        spec["students"] = students
    if (method := sent.get("method", "tdmr")) != "tdmr":
        spec["method"] = method
    for name in ("image_size", "seed", "priority"):
        if text := sent.get(name, "").strip():
            spec[name] = int(text) if text.lstrip("-").isdecimal() else text
    if (pretrained := sent.get("pretrained", "auto")) != "auto":
        spec["pretrained"] = pretrained == "true"
    if (balance := sent.get("balance", "none")) != "none":
        spec["balance"] = balance
    constraints = {
        "max_latency_ms": _number(sent, "max_latency_ms"),
        "max_bytes": _number(sent, "max_megabytes", 1e6),
        "min_accuracy": _number(sent, "min_accuracy", 0.01),
    }
    if kept := {name: value for name, value in constraints.items() if value is not None}:
        spec["constraints"] = {name: int(value) if name == "max_bytes" else value for name, value in kept.items()}
    spec |= knobs.read(sent)
    formats = every("formats")
    if formats and set(formats) != {each.value for each in ExportConfig().formats}:
        spec.setdefault("export", {})["formats"] = list(formats)
    if label := sent.get("label", "").strip():
        spec["metadata"] = {"name": label}
    return spec


def _names(*texts: str) -> list[str]:
    """Of models, in a text with commas between them; each once."""
    return list(dict.fromkeys(name.strip() for text in texts for name in text.split(",") if name.strip()))


def _number(sent: Mapping[str, str], name: str, factor: float = 1.0) -> float | None:
    text = sent.get(name, "").strip()
    if not text:
        return None
    try:
        return float(json.loads(text)) * factor
    except (ValueError, TypeError) as error:
        raise InvalidSpec(f"{name}: '{text}' is no number.", param=name) from error


def _validated(wanted: Mapping[str, Any]) -> JobSpec:
    try:
        return JobSpec.model_validate(wanted)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise InvalidSpec(f"{where}: {said}" if where else f"{said[:1].upper()}{said[1:]}.", param=where) from error


def _form(
    request: Request,
    viewer: Viewer,
    session: Session,
    tenant: str,
    spec: Mapping[str, Any],
    problem: TdmrError | None = None,
) -> Response:
    try:
        offer = catalog.offer(session)
    except CatalogEmpty:
        offer = Offer({}, {}, ())
    ready = [
        row
        for row in datasets.page(session, tenant, after=None, limit=DATASETS).items
        if row.state == DatasetState.READY
    ]
    named = spec.get("students") or filter(None, [spec.get("student")])
    chosen = [name for name in named if name.partition(".")[0] in offer.students]
    first, *more = spec.get("teachers") or [spec.get("teacher")]
    offered = sorted(offer.students.values(), key=partial(_student_order, chosen))
    return page(
        request,
        viewer,
        "new_job.html",
        status=200 if problem is None else problem.status or 422,
        problem=problem,
        spec=spec,
        chosen=chosen,
        by_name=[name for name in chosen if name not in offer.students],
        teacher=first if first in offer.teachers else None,
        more_teachers=more,
        datasets=_with_chosen(session, tenant, ready, spec.get("dataset_id")),
        teachers=sorted(offer.teachers.values(), key=_teacher_order)[:MODELS],
        teacher_total=len(offer.teachers),
        students=offered[:MODELS],
        student_total=len(offer.students),
        preset=offered[0].name if offered else "",
        methods=list(METHODS.values()),
        groups=knobs.groups(),
        formats=knobs.FORMATS,
        default_formats=[each.value for each in ExportConfig().formats],
        knob_values={
            f"{group}.{name}": value for group in knobs.GROUPS for name, value in (spec.get(group) or {}).items()
        },
    )


def _teacher_order(card: TeacherCard) -> tuple[Any, ...]:
    """What lies on a worker first: nothing has to be downloaded. Of those the largest, which knows most."""
    is_local = card.source == "local"
    return card.refused is not None, not is_local, -(card.parameters or 0) if is_local else 0, card.name


def _student_order(chosen: Sequence[str], card: StudentCard) -> tuple[Any, ...]:
    """What was chosen, then what is good to begin with, then by size; timm's own test networks last."""
    first = FIRST_STUDENTS.index(card.name) if card.name in FIRST_STUDENTS else len(FIRST_STUDENTS)
    return card.name not in chosen, card.refused is not None, first, card.name.startswith("test_"), card.parameters


def _with_chosen(session: Session, tenant: str, ready: list[Dataset], chosen: str | None) -> Sequence[Dataset]:
    """One that was asked for stands there, however old it is."""
    if not chosen or any(row.id == chosen for row in ready):
        return ready
    try:
        return [datasets.find(session, tenant, chosen), *ready]
    except TdmrError:
        return ready
