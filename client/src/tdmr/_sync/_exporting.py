# Generated from _async by client/tools; not to be edited.
"""What a job has to tell to other tools, read from the service."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdmr import models, problems
from tdmr._bound import parse
from tdmr._sync import _io
from tdmr._sync._transport import Transport
from tdmr.errors import Unexpected
from tdmr.exports.record import Record, Target, results, scalars
from tdmr.progress import Display

if TYPE_CHECKING:
    from tdmr._sync.job import Job
    from tdmr._sync.jobs import Jobs


def export(transport: Transport, jobs: Jobs, job: Job, target: Target, display: Display) -> str:
    """Hand the job over to a tool. Returns where it is to be seen then."""
    _io.in_thread(target.check)  # before anything is downloaded
    with tempfile.TemporaryDirectory(prefix="tdmr-") as name:
        folder = Path(name)
        wanted = [one for one in jobs.artifacts(job) if target.wants(one.name)]
        if wanted:
            jobs.download(job, folder, artifacts=wanted, display=display)
        record = _record(transport, jobs, job, folder if wanted else None)
        return _io.in_thread(target.write, record)


def _record(transport: Transport, jobs: Jobs, job: Job, folder: Path | None) -> Record:
    spec: dict[str, Any] = job.spec if isinstance(job.spec, dict) else job.spec.model_dump(mode="json")
    curves = jobs.curves(job)
    return Record(
        job_id=job.id,
        state=job.state,
        url=f"{transport.config.base_url}/jobs/{job.id}",
        spec=spec,
        metadata=job.metadata,
        dataset_id=job.dataset_id,
        dataset_digest=_digest(transport, job.dataset_id),
        curves=scalars(curves),
        results=results(job.metrics, curves, _evaluations(jobs, job, spec.get("students") or [None])),
        started_at=job.started_at or job.created_at,
        finished_at=job.finished_at,
        folder=folder,
    )


def _digest(transport: Transport, dataset_id: str) -> str | None:
    try:
        found = transport.json("GET", f"/v1/datasets/{dataset_id}")
    except problems.NotFound:
        return None  # it was deleted after the job
    return parse(models.DatasetSummary, found).digest


def _evaluations(jobs: Jobs, job: Job, students: list[str | None]) -> Mapping[str | None, models.Evaluation]:
    """Of each student what the evaluation says."""
    found: dict[str | None, models.Evaluation] = {}
    for student in students:
        # the job may have none, or another version wrote it
        with suppress(problems.NotFound, problems.StudentRequired, Unexpected):
            found[student] = jobs.evaluation(job, student=student)
    return found
