"""A job in a line: what lists of jobs show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.api.schemas.jobs import JobRead
from app.db.models import Job
from app.domain.spec import JobSpec
from app.services import jobs, overview, timing, trackings
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class JobLine:
    """One job, as lists name it."""

    job: JobRead
    dataset: str | None
    """The name of its data set; None once that is deleted."""

    @property
    def spec(self) -> Mapping[str, Any]:
        spec = self.job.spec
        return spec.model_dump(mode="json") if isinstance(spec, JobSpec) else spec

    @property
    def students(self) -> Sequence[str]:
        spec = self.spec
        return tuple(spec.get("students") or filter(None, [spec.get("student")]))

    @property
    def title(self) -> str:
        """What it makes."""
        students = self.students
        if not students:
            return f"probe of {self.teacher or 'a teacher'}"
        return students[0] if len(students) == 1 else f"{students[0]} and {len(students) - 1} more"

    @property
    def teacher(self) -> str | None:
        """Its name, or those of several."""
        return " + ".join(self.spec.get("teachers") or ()) or self.spec.get("teacher")

    @property
    def method(self) -> str:
        return str(self.spec.get("method", "tdmr"))

    @property
    def accuracy(self) -> float | None:
        """Of its student, or of the best of several; of the probe where there is no student."""
        wanted = ("student_accuracy", "test_accuracy", "probe_accuracy")
        for name in wanted:
            found = [value for key, value in self.job.metrics.items() if key == name or key.endswith(f"/{name}")]
            if found:
                return max(found)
        return None

    @property
    def is_ended(self) -> bool:
        return self.job.state in {"succeeded", "failed", "cancelled"}


def lines(session: Session, settings: Settings, tenant: str, rows: Sequence[Job]) -> list[JobLine]:
    places = jobs.queue_positions(session, settings.quotas, rows)
    starts = timing.estimated_starts(session, settings.quotas, places, settings.lease_seconds)
    names = overview.dataset_names(session, tenant, rows)
    tracked = trackings.of_jobs(session, rows)
    return [JobLine(JobRead.from_row(row, places, starts, tracked), names.get(row.dataset_id)) for row in rows]
