"""A job's curves and its evaluation."""

from typing import Any

from sqlalchemy.orm import Session

from app.db.queries import jobs as queries
from app.domain.errors import NotFound
from app.domain.progress import MetricLine
from app.domain.spec import JobSpec
from app.domain.states import Stage
from app.services import jobs
from app.services.students import named_student

STAGE_ORDER = {stage: place for place, stage in enumerate(Stage)}


def curves(session: Session, tenant: str, job_id: str, *, stage: Stage | None, from_step: int) -> list[MetricLine]:
    """Points by stage and step, from `from_step` on. Where a resumed attempt went over a step again, its word counts.

    Raises:
        NotFound: if there is no such job.
    """
    job = jobs.find(session, tenant, job_id)
    points = {
        (Stage(piece.stage), point["step"]): point["values"]
        for piece in queries.list_metrics(session, job.id, stage=stage, from_step=from_step)
        for point in piece.points
        if point["step"] >= from_step
    }
    ordered = sorted(points.items(), key=lambda item: (STAGE_ORDER[item[0][0]], item[0][1]))
    return [MetricLine(stage=stage, step=step, values=values) for (stage, step), values in ordered]


def evaluation(session: Session, tenant: str, job_id: str, student: str | None = None) -> dict[str, Any]:
    """How good a student is, beside its teacher.

    Args:
        student: which one; None for the only one, or where there is none.

    Raises:
        NotFound: if there is no such job or student, it has not been evaluated, or it has several students.
    """
    job = jobs.find(session, tenant, job_id)
    if job.evaluation is None:
        raise NotFound(f"The job has no evaluation: it is {job.state}.", hint="It appears when the job has succeeded.")
    if student is None and not JobSpec.read(job.spec).every_student:
        return job.evaluation
    chosen = named_student(job, student)
    return job.evaluation[chosen.name] if chosen.has_folder else job.evaluation
