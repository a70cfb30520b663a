"""Find the student of a job that a request means."""

from dataclasses import dataclass

from app.db.models import Job
from app.domain.errors import NotFound, StudentRequired
from app.domain.spec import JobSpec


@dataclass(frozen=True, slots=True)
class NamedStudent:
    """One student of a job."""

    name: str
    has_folder: bool
    """Whether its files and its evaluation carry its name: so it is where the job names `students`."""

    @property
    def prefix(self) -> str:
        """Before the names of its files."""
        return f"{self.name}/" if self.has_folder else ""


def named_student(job: Job, name: str | None) -> NamedStudent:
    """
    Args:
        name: None for the only one.

    Raises:
        NotFound: if the job has no such student, or none at all.
        StudentRequired: if it has several and none is named.
    """
    spec = JobSpec.read(job.spec)
    trained = spec.every_student
    if name is not None and name not in trained:
        named = f"It trained {', '.join(trained)}." if trained else "It trained none; leave out `student`."
        raise NotFound(f"The job has no student named '{name}'.", hint=named, param="student")
    if not trained:
        raise NotFound("The job has no student.", hint="Read its evaluation instead.", param="student")
    if name is None and len(trained) > 1:
        raise StudentRequired(
            f"The job has {len(trained)} students, each with its own results.",
            hint=f"Name one: ?student={' or '.join(trained)}.",
            param="student",
        )
    return NamedStudent(name or trained[0], has_folder=spec.students is not None)
