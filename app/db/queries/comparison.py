"""Queries about several jobs side by side."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from app.db.ids import is_id
from app.db.models import Job


class Scores(NamedTuple):
    """The few figures of an evaluation that are compared; what an earlier version did not compute is None."""

    split: str | None
    images: int | None
    top1: float | None
    """Of the student, or the probe where no student was trained."""
    macro_f1: float | None
    teacher_top1: float | None


def jobs_by_id(session: Session, tenant: str, job_ids: Sequence[str]) -> Mapping[str, Job]:
    """Those that exist and are the tenant's, without their evaluations."""
    wanted = [job_id for job_id in job_ids if is_id(job_id, "job")]
    rows = session.scalars(select(Job).where(Job.id.in_(wanted), Job.tenant == tenant).options(defer(Job.evaluation)))
    return {job.id: job for job in rows}


def scores(session: Session, job_id: str, folder: str | None) -> Scores | None:
    """Read out of the evaluation in the database: with its confusions it may have megabytes.

    Args:
        folder: the student's name, where the evaluation is one by student.
    """

    def at(*path: str) -> tuple[str, ...]:
        return path if folder is None else (folder, *path)

    found = session.execute(
        select(
            Job.evaluation[at("split")].as_string(),
            Job.evaluation[at("images")].as_integer(),
            Job.evaluation[at("student", "top1")].as_float(),
            Job.evaluation[at("student", "macro_f1")].as_float(),
            Job.evaluation[at("probe", "top1")].as_float(),
            Job.evaluation[at("probe", "macro_f1")].as_float(),
            Job.evaluation[at("teacher", "top1")].as_float(),
        ).where(Job.id == job_id, Job.evaluation.is_not(None))
    ).first()
    if found is None:
        return None
    split, images, top1, macro_f1, probe_top1, probe_macro_f1, teacher = found
    if top1 is None:
        top1, macro_f1 = probe_top1, probe_macro_f1
    return Scores(split, images, top1, macro_f1, teacher)
