"""Jobs: what is asked of them one by one, by id."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from tdmr import models
from tdmr._async import _io
from tdmr._async._downloading import download
from tdmr._async._exporting import export
from tdmr._async._pages import AsyncPages
from tdmr._async._streaming import stream
from tdmr._async._transport import AsyncTransport
from tdmr._async.job import AsyncJob
from tdmr._bound import parse
from tdmr._downloads import target_of
from tdmr.errors import NoModel
from tdmr.exports.record import Target
from tdmr.progress import Display
from tdmr.updates import Update, read_update

Options = models.Model | Mapping[str, Any]
"""Of a stage: its model, or a mapping of those options that differ from their defaults."""


class AsyncJobs:
    """`client.jobs`. Wherever a job is asked for, its id will do."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(
        self,
        *,
        dataset: models.DatasetSummary | models.Dataset | str,
        teacher: str | None = None,
        teachers: Sequence[str] | None = None,
        student: str | None = None,
        students: Sequence[str] | None = None,
        method: str | None = None,
        image_size: int | None = None,
        pretrained: Literal["auto"] | bool | None = None,
        balance: str | None = None,
        views: Options | None = None,
        reprogram: Options | None = None,
        distill: Options | None = None,
        export: Options | None = None,
        constraints: Options | None = None,
        seed: int | None = None,
        priority: int | None = None,
        metadata: Mapping[str, str] | None = None,
        webhook_url: str | None = None,
        track: Options | None = None,
        idempotency_key: str | None = None,
        **more: Any,
    ) -> AsyncJob:
        """Queue a job. What is not given has the service's default.

        Args:
            dataset: one that is ready, or its id.
            teacher: a name of `client.teachers`; or `teachers`, several that teach together.
            student: a name of `client.students`; or `students`, several that learn from one reprogrammed teacher.
            method: `tdmr`, or a baseline such as `kd` or `scratch`.
            pretrained: whether students start from their own pretrained weights; `auto` (default): if there are some.
            views, reprogram, distill, export: options of the stages.
            constraints: what the device demands; the file that meets it is chosen.
            metadata: your own labels, to find it by.
            webhook_url: is told how it ends.
            track: has the service log it when it ends, `{"mlflow": {"experiment": "flowers"}}`, where its operator has
                named a server. `job.tracking` then says where the run is.
            idempotency_key: a second call with the same key and content returns the same job. A fresh one unless given.
            more: what a newer service takes.
        """
        given = dict(
            teacher=teacher, teachers=teachers, student=student, students=students, method=method,
            image_size=image_size, pretrained=pretrained, balance=balance, views=views, reprogram=reprogram,
            distill=distill, export=export, constraints=constraints, seed=seed, priority=priority, metadata=metadata,
            webhook_url=webhook_url, track=track, **more,
        )  # fmt: skip
        return await self.submit(_body(dataset, given), idempotency_key=idempotency_key)

    async def submit(self, body: Mapping[str, Any], *, idempotency_key: str | None = None) -> AsyncJob:
        """Queue a job as it is written in a `job.yaml`."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        # the key makes it safe to repeat
        found = await self._transport.json("POST", "/v1/jobs", json=body, headers=headers, repeatable=True)
        return AsyncJob.bound(self, found)

    async def estimate(
        self, *, dataset: models.DatasetSummary | models.Dataset | str, **options: Any
    ) -> models.Estimate:
        """What a job would take: seconds, memory, limits that it would run into, warnings. Nothing is queued.

        Args:
            options: as of `create`.
        """
        return await self.estimate_submission(_body(dataset, options))

    async def estimate_submission(self, body: Mapping[str, Any]) -> models.Estimate:
        """The same of a job as it is written in a `job.yaml`."""
        return parse(
            models.Estimate, await self._transport.json("POST", "/v1/jobs/estimate", json=body, repeatable=True)
        )

    async def compare(self, jobs: Sequence[models.Job | str]) -> models.JobComparison:
        """Two to ten jobs side by side: where their specs differ, their accuracies and files, and for each pair of
        students by how much one is better on the same images."""
        ids = ",".join(job if isinstance(job, str) else job.id for job in jobs)
        found = await self._transport.json("GET", "/v1/jobs/compare", params={"ids": ids})
        return parse(models.JobComparison, found)

    async def get(self, job: models.Job | str, *, wait: float | None = None) -> AsyncJob:
        """
        Args:
            wait: seconds to wait for a change first; at most 60.
        """
        params = {} if wait is None else {"wait": round(wait)}
        return AsyncJob.bound(self, (await self._transport.json("GET", _path(job), params=params)))

    def list(
        self,
        *,
        state: str | Sequence[str] | None = None,
        metadata: Mapping[str, str] | None = None,
        limit: int | None = None,
    ) -> AsyncPages[AsyncJob]:
        """All jobs, newest first.

        Args:
            state: only those in this state, or in one of these.
            metadata: only those with these pairs.
            limit: at most so many.
        """
        params: dict[str, Any] = {} if state is None else {"state": [state] if isinstance(state, str) else list(state)}
        params |= {f"metadata[{key}]": value for key, value in (metadata or {}).items()}
        return AsyncPages(self._transport, "/v1/jobs", lambda data: AsyncJob.bound(self, data), params, limit)

    async def cancel(self, job: models.Job | str) -> AsyncJob:
        """A running job is stopped within seconds."""
        return await self._act(job, "cancel")

    async def pause(self, job: models.Job | str) -> AsyncJob:
        """A running job writes a checkpoint and frees its worker."""
        return await self._act(job, "pause")

    async def resume(self, job: models.Job | str) -> AsyncJob:
        """Return a paused job to its place in the queue."""
        return await self._act(job, "resume")

    async def retry(self, job: models.Job | str) -> AsyncJob:
        """A new job that goes on from the checkpoint of a failed one."""
        return await self._act(job, "retry")

    async def rerun(self, job: models.Job | str) -> AsyncJob:
        """A new job with the same spec and data, from the start."""
        return await self._act(job, "rerun")

    async def delete(self, job: models.Job | str) -> None:
        """Delete an ended, queued or paused job with its files."""
        await self._transport.request("DELETE", _path(job))

    async def stream(self, job: models.Job | str, *, last_id: str | None = None) -> AsyncIterator[Update]:
        """What happens, as it happens, from the beginning to the end of the job; lost connections and a restarted
        service are gone over silently, with nothing lost and nothing twice.

        Args:
            last_id: the `id` of a former stream's frame, to go on behind it.
        """
        async for frame in stream(self._transport, f"{_path(job)}/events", last_id):
            if (update := read_update(frame)) is not None:
                yield update

    def events(self, job: models.Job | str) -> AsyncPages[models.JobEvent]:
        """All that happened so far, oldest first."""
        return AsyncPages(self._transport, f"{_path(job)}/events", models.JobEvent.model_validate, {}, None)

    async def curves(self, job: models.Job | str, *, stage: str | None = None) -> Sequence[models.MetricPoint]:
        """The curves so far."""
        params = {} if stage is None else {"stage": stage}
        found = await self._transport.json("GET", f"{_path(job)}/metrics", params=params)
        return parse(models.Curves, found).points

    async def evaluation(self, job: models.Job | str, *, student: str | None = None) -> models.Evaluation:
        """Accuracy with intervals, per class, confusions and calibration; the student beside its teacher."""
        params = {} if student is None else {"student": student}
        found = await self._transport.json("GET", f"{_path(job)}/evaluation", params=params)
        return parse(models.Evaluation, found)

    async def artifacts(self, job: models.Job | str) -> Sequence[models.Artifact]:
        """The published files; none until the job has succeeded."""
        data = (await self._transport.json("GET", f"{_path(job)}/artifacts"))["data"]
        return [parse(models.Artifact, one) for one in data]

    async def predict(
        self,
        job: models.Job | str,
        image: str | os.PathLike[str] | bytes,
        *,
        top_k: int | None = None,
        student: str | None = None,
        preview: bool = False,
    ) -> models.Prediction:
        """Try the student on one image, on the service.

        Args:
            preview: while the job trains, the student of the moment; `preview` of the answer says which that is.
        """
        content = image if isinstance(image, bytes) else await _io.in_thread(Path(image).read_bytes)
        kind = None if isinstance(image, bytes) else mimetypes.guess_type(os.fspath(image))[0]
        headers = {"Content-Type": kind if kind and kind.startswith("image/") else "application/octet-stream"}
        given = {"top_k": top_k, "student": student, "preview": True if preview else None}
        params = {name: value for name, value in given.items() if value is not None}
        path = f"{_path(job)}/predict"
        found = await self._transport.json(
            "POST", path, content=content, headers=headers, params=params, repeatable=True
        )
        return parse(models.Prediction, found)

    async def download(
        self,
        job: models.Job | str,
        folder: str | os.PathLike[str],
        *,
        student: str | None = None,
        artifacts: Sequence[models.Artifact] | None = None,
        display: Display,
    ) -> Sequence[Path]:
        """Every file, those of one student of several, or the given ones. What is there already is not sent again."""
        if artifacts is None:
            artifacts = await self.artifacts(job)
        if student is not None:
            artifacts = [one for one in artifacts if "/" not in one.name or one.name.startswith(f"{student}/")]
        if not artifacts:
            raise NoModel("The job has no files.")
        targets = []
        for artifact in artifacts:
            target = target_of(Path(folder), artifact.name)
            await download(self._transport, f"{_path(job)}/artifacts/{artifact.name}", artifact, target, display)
            targets.append(target)
        return targets

    async def export(self, job: AsyncJob, target: Target, *, display: Display) -> str:
        """Hand the job over to a tool of `tdmr.exports`; returns where it is to be seen then."""
        return await export(self._transport, self, job, target, display)

    async def _act(self, job: models.Job | str, action: str) -> AsyncJob:
        return AsyncJob.bound(self, (await self._transport.json("POST", f"{_path(job)}/{action}")))


def _path(job: models.Job | str) -> str:
    return f"/v1/jobs/{job if isinstance(job, str) else job.id}"


def _body(dataset: models.DatasetSummary | models.Dataset | str, given: Mapping[str, Any]) -> Mapping[str, Any]:
    dataset_id = dataset if isinstance(dataset, str) else dataset.id
    return {"dataset_id": dataset_id} | {name: _plain(value) for name, value in given.items() if value is not None}


def _plain(value: Any) -> Any:
    """Of a model only what was set: a default is the service's to know."""
    if isinstance(value, models.Model):
        return value.model_dump(mode="json", exclude_unset=True, by_alias=True)
    return dict(value) if isinstance(value, Mapping) else value
