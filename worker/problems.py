"""Describe a failure to its user: the same object as an HTTP problem. Never a path, a traceback or a child's output."""

import errno
import signal
from pathlib import Path
from typing import Any

from app.domain.dataset import ImportResult
from app.domain.errors import (
    CATALOGUE,
    DatasetRejected,
    DiskFull,
    ImportFailed,
    OutOfMemory,
    StoreUnavailable,
    TdmrError,
    TimeLimitExceeded,
    TrainingFailed,
)
from app.domain.progress import FailureLine
from app.settings import Settings
from worker.limits import LimitName

Problem = dict[str, Any]
LOCAL_FILES_LOST = "The worker's local files were deleted, or cannot be read, while the job ran."


class Failed(Exception):
    """The job ends without a student; `problem` is what its user is told."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem["detail"])
        self.problem = problem


class AttemptLost(Exception):
    """The child ended without a last word. Another attempt continues from its checkpoint."""


class FilesLost(AttemptLost):
    """The child, or its worker, misses local files. Another attempt continues from the stored checkpoint."""


def of_error(error: TdmrError) -> Problem:
    return error.as_problem()


def of_line(line: FailureLine) -> Problem:
    """A failure that the training package has reported. Its codes are those of the error tree."""
    return _problem(line.code, CATALOGUE.get(line.code, TrainingFailed).title, line.detail, line.hint)


def of_memory_used_up() -> Problem:
    """The kernel has killed the child for its memory."""
    return of_error(
        OutOfMemory(
            "The training process was stopped because the machine's memory was used up.",
            hint="Choose a smaller batch size, a smaller image size or a smaller teacher.",
        )
    )


def of_job_limit(limit: LimitName, settings: Settings) -> Problem:
    """The job's process has passed a limit of this service."""
    if limit == "time":
        return of_error(
            TimeLimitExceeded(
                f"The attempt was ended after {settings.job_hours:g} hours, the limit of this service.",
                hint="Ask for fewer image steps or a smaller network; or have TDMR_JOB_HOURS raised and retry the job, "
                "which goes on from its checkpoint.",
            )
        )
    return of_error(
        OutOfMemory(
            f"The job needed more than the {settings.child_memory_gb:g} GB that this service allows one.",
            hint="Choose a smaller batch size, image size or teacher, or have TDMR_CHILD_MEMORY_GB raised.",
        )
    )


def of_import_limit(limit: LimitName, settings: Settings) -> Problem:
    """The import's process has passed a limit of this service: no fault of ours, so it is a verdict."""
    if limit == "time":
        what = f"could not be checked within {settings.import_minutes:g} minutes"
    else:
        what = f"needed more than {settings.child_memory_gb:g} GB of memory to be checked"
    return of_error(
        DatasetRejected(
            f"The archive {what}, the limit of this service.",
            hint="Split it, or look for a file in it that is far larger than the others.",
        )
    )


def of_silent_exit(status: int) -> str:
    """How a child ended that reported nothing. `status` is negative for a signal."""
    how = f"was ended by {_signal_name(-status)}" if status < 0 else f"ended with status {status}"
    return f"The training process {how} and did not say why."


def of_exception(error: Exception) -> Problem:
    """A failure of the worker itself, in words that say nothing of its machine."""
    if isinstance(error, Failed):
        return error.problem
    if isinstance(error, TdmrError):
        return of_error(error)
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        told: TdmrError = DiskFull("The worker's disk is full.", hint="Free space on the worker and send it again.")
    elif isinstance(error, OSError):
        told = StoreUnavailable(
            "The worker could not read or write a file.", hint="See that the storage is reachable and send it again."
        )
    else:
        told = TrainingFailed("The worker met an error of its own.", hint="The worker's log has the cause.")
    return of_error(told)


def of_verdict(result: ImportResult) -> Problem:
    """Why an archive is rejected."""
    code, detail = result.code or DatasetRejected.code, result.detail or "The archive cannot become a data set."
    return _problem(code, DatasetRejected.title, detail, result.hint)


def of_failed_import(error: Exception) -> Problem:
    """An import that ended without a verdict: the fault is ours, and the archive may be fine."""
    if isinstance(error, TdmrError) or (isinstance(error, OSError) and not isinstance(error, ChildProcessError)):
        return of_exception(error)
    return of_error(
        ImportFailed(
            "The import ended without a verdict.",
            hint="Upload the archive again. If it happens again, the worker's log has the cause.",
        )
    )


def count_oom_kills() -> int:
    """How often the kernel has killed a process of our control group for its memory; 0 where nobody counts."""
    try:
        group = Path("/proc/self/cgroup").read_text().partition("0::/")[2].splitlines()[0:1]
        events = Path("/sys/fs/cgroup", *group, "memory.events").read_text()
    except OSError:
        return 0
    return int(dict(line.split() for line in events.splitlines()).get("oom_kill", 0))


def _problem(code: str, title: str, detail: str, hint: str | None) -> Problem:
    return {"code": code, "title": title, "detail": detail, "hint": hint}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
