# Generated from _async by client/tools; not to be edited.
"""One job, and what can be done with it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr

from tdmr import models
from tdmr._bound import adopt, parse
from tdmr._display import card_html, named
from tdmr._sync import _io
from tdmr._waiting import Deadline
from tdmr._watching import Watch
from tdmr.errors import JobEnded
from tdmr.exports.record import Target
from tdmr.model import Model
from tdmr.progress import Display, display_for, duration
from tdmr.updates import EndUpdate, ProgressUpdate, Update

if TYPE_CHECKING:
    from typing_extensions import Self

    from tdmr._sync.jobs import Jobs

ENDED = frozenset({"succeeded", "failed", "cancelled"})


class Job(models.Job):
    """A job. Its fields are as they were when it was last read: `refresh`, `wait` and `stream` read it anew."""

    _jobs: Jobs = PrivateAttr()

    @classmethod
    def bound(cls, jobs: Jobs, data: Mapping[str, Any]) -> Self:
        """A job that knows where it comes from."""
        job = parse(cls, data)
        job._jobs = jobs
        return job

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    def refresh(self) -> Self:
        """Read it anew."""
        return adopt(self, self._jobs.get(self.id))

    def stream(self, *, last_id: str | None = None) -> Iterator[Update]:
        """What happens, as it happens: events, points of the curves, progress and, last, the end. Lost connections and
        a restarted service are gone over silently, with nothing lost and nothing twice."""
        for update in self._jobs.stream(self, last_id=last_id):
            if isinstance(update, ProgressUpdate):
                adopt(self, update)
            elif isinstance(update, EndUpdate):
                adopt(self, update.job)
            yield update

    def wait(self, *, progress: bool | Display = False, timeout: float | None = None) -> Self:
        """Wait until it has succeeded.

        Args:
            progress: show how far it is; in a terminal and a notebook as a bar, elsewhere a line for each stage and
                10 %.
            timeout: seconds to wait at the most; looked at whenever something of the job changes.

        Raises:
            JobEnded: it has failed or was cancelled; the message says why.
            TimedOut: it takes longer. The job goes on.
        """
        display, deadline = display_for(progress), Deadline(timeout)
        watch = Watch(display)
        try:
            if timeout is None:
                for update in self.stream():
                    watch.tell(update)
            else:
                self._poll(watch, deadline)
        finally:
            display.close()
        return self.check()

    def _poll(self, watch: Watch, deadline: Deadline) -> None:
        while True:
            watch.tell(ProgressUpdate.model_validate(self.model_dump(include=_SHOWN)))
            if self.has_ended:
                return
            adopt(self, self._jobs.get(self.id, wait=deadline.at_most(30, f"the job {self.id}")))

    def check(self) -> Self:
        """
        Raises:
            JobEnded: it has ended without success, or is paused.
        """
        if self.state in ("failed", "cancelled"):
            raise JobEnded(self.id, self.state, self.error)
        return self

    def download(
        self, folder: str | os.PathLike[str], *, student: str | None = None, progress: bool | Display = True
    ) -> Model:
        """Download its files, each checked against its SHA-256; an interrupted call goes on when it is made again.

        Args:
            folder: is made where it is not there.
            student: only this one's files, of a job with several.

        Raises:
            JobEnded: it has not succeeded.
        """
        if self.state != "succeeded":
            self.refresh()
        if self.state != "succeeded":
            raise JobEnded(self.id, self.state, self.error)
        display = display_for(progress)
        try:
            self._jobs.download(self, folder, student=student, display=display)
        finally:
            display.close()
        return _io.in_thread(Model, Path(folder), student)

    def export(self, target: Target, *, progress: bool | Display = True) -> str:
        """Show what came of it in another tool, such as `tdmr.exports.MLflow()`; at any time, and again later.

        Returns:
            The folder or address where it is to be seen.

        Raises:
            Missing: the tool's package is not installed; the message says which.
        """
        display = display_for(progress)
        try:
            return self._jobs.export(self.refresh(), target, display=display)
        finally:
            display.close()

    def predict(
        self,
        image: str | os.PathLike[str] | bytes,
        *,
        top_k: int | None = None,
        student: str | None = None,
        preview: bool = False,
    ) -> models.Prediction:
        """Try the student on one image, on the service; with `preview` that of the moment, while the job trains."""
        return self._jobs.predict(self, image, top_k=top_k, student=student, preview=preview)

    def events(self) -> Sequence[models.JobEvent]:
        """All that happened so far, oldest first."""
        return self._jobs.events(self).to_list()

    def curves(self, *, stage: str | None = None) -> Sequence[models.MetricPoint]:
        """The curves so far."""
        return self._jobs.curves(self, stage=stage)

    def evaluation(self, *, student: str | None = None) -> models.Evaluation:
        """Accuracy with intervals; the student beside its teacher."""
        return self._jobs.evaluation(self, student=student)

    def artifacts(self) -> Sequence[models.Artifact]:
        """The published files; none until it has succeeded."""
        return self._jobs.artifacts(self)

    def cancel(self) -> Self:
        """Stop it for good."""
        return adopt(self, self._jobs.cancel(self))

    def pause(self) -> Self:
        """Stop it until `resume`."""
        return adopt(self, self._jobs.pause(self))

    def resume(self) -> Self:
        """Let a paused job go on."""
        return adopt(self, self._jobs.resume(self))

    def retry(self) -> Job:
        """A new job that goes on where this one failed."""
        return self._jobs.retry(self)

    def rerun(self) -> Job:
        """A new job with the same spec and data, from the start."""
        return self._jobs.rerun(self)

    def delete(self) -> None:
        """Delete it with its files."""
        self._jobs.delete(self)

    def __repr__(self) -> str:
        stage = f", {self.stage}" if self.stage and self.state == "running" else ""
        return f"<{type(self).__name__} {self.id} {self.state}{stage}, {self.progress:.0%}>"

    def __str__(self) -> str:
        return repr(self)

    def _repr_html_(self) -> str:
        spec = self.spec if isinstance(self.spec, dict) else self.spec.model_dump()
        accuracy = self.metrics.get("student_accuracy", self.metrics.get("val_accuracy"))
        rows = {
            "teacher": named(spec, "teacher"),
            "student": named(spec, "student"),
            "method": spec.get("method"),
            "stage": self.stage,
            "progress": f"{self.progress:.0%}",
            "left": None if self.eta_seconds is None else duration(self.eta_seconds),
            "queue": f"{self.queue.position}, {self.queue.reason}" if self.queue else None,
            "accuracy": None if accuracy is None else f"{accuracy:.1%}",
            "error": self.error.detail if self.error else None,
        }
        return card_html(self.id, self.state, rows)


_SHOWN = {"state", "stage", "progress", "eta_seconds", "queue", "metrics"}
