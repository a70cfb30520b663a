"""What a job has to tell to other tools, read from the service."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdmr import models, problems
from tdmr._async import _io
from tdmr._async._transport import AsyncTransport
from tdmr._bound import parse
from tdmr.errors import Unexpected
from tdmr.exports.record import Record, Target, results, scalars
from tdmr.progress import Display

if TYPE_CHECKING:
    from tdmr._async.job import AsyncJob
    from tdmr._async.jobs import AsyncJobs


async def export(transport: AsyncTransport, jobs: AsyncJobs, job: AsyncJob, target: Target, display: Display) -> str:
    """Hand the job over to a tool. Returns where it is to be seen then."""
    await _io.in_thread(target.check)  # before anything is downloaded
    with tempfile.TemporaryDirectory(prefix="tdmr-") as name:
        folder = Path(name)
        wanted = [one for one in await jobs.artifacts(job) if target.wants(one.name)]
        if wanted:
            await jobs.download(job, folder, artifacts=wanted, display=display)
        record = await _record(transport, jobs, job, folder if wanted else None)
        return await _io.in_thread(target.write, record)


async def _record(transport: AsyncTransport, jobs: AsyncJobs, job: AsyncJob, folder: Path | None) -> Record:
    spec: dict[str, Any] = job.spec if isinstance(job.spec, dict) else job.spec.model_dump(mode="json")
    curves = await jobs.curves(job)
    return Record(
        job_id=job.id,
        state=job.state,
        url=f"{transport.config.base_url}/jobs/{job.id}",
        spec=spec,
        metadata=job.metadata,
        dataset_id=job.dataset_id,
        dataset_digest=await _digest(transport, job.dataset_id),
        curves=scalars(curves),
        results=results(job.metrics, curves, await _evaluations(jobs, job, spec.get("students") or [None])),
        started_at=job.started_at or job.created_at,
        finished_at=job.finished_at,
        folder=folder,
    )


async def _digest(transport: AsyncTransport, dataset_id: str) -> str | None:
    try:
        found = await transport.json("GET", f"/v1/datasets/{dataset_id}")
    except problems.NotFound:
        return None  # it was deleted after the job
    return parse(models.DatasetSummary, found).digest


async def _evaluations(
    jobs: AsyncJobs, job: AsyncJob, students: list[str | None]
) -> Mapping[str | None, models.Evaluation]:
    """Of each student what the evaluation says."""
    found: dict[str | None, models.Evaluation] = {}
    for student in students:
        # the job may have none, or another version wrote it
        with suppress(problems.NotFound, problems.StudentRequired, Unexpected):
            found[student] = await jobs.evaluation(job, student=student)
    return found
