"""The states of a job and of a data set, and the one table of allowed transitions for each."""

from enum import StrEnum


class JobState(StrEnum):
    """The state of a job. `succeeded`, `failed` and `cancelled` are final."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Stage(StrEnum):
    """What a running job is doing. Stands beside the state, never inside it."""

    PREPARE = "prepare"
    REPROGRAM = "reprogram"
    DISTILL = "distill"
    EVALUATE = "evaluate"
    EXPORT = "export"


class StopRequest(StrEnum):
    """What the user wants of a running job. Stands beside the state until the worker has done it."""

    CANCEL = "cancel"
    PAUSE = "pause"


class DatasetState(StrEnum):
    """The state of a data set's import. `ready` and `rejected` are final."""

    VALIDATING = "validating"
    NEEDS_ANSWER = "needs_answer"
    """It is not clear which classes the archive has: there are several readings, or only the names of files tell any.
    Its owner chooses one."""
    READY = "ready"
    REJECTED = "rejected"


JOB_TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.PAUSED, JobState.CANCELLED}),
    # back to queued: the worker was lost or preempted
    JobState.RUNNING: frozenset(
        {JobState.QUEUED, JobState.PAUSED, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}
    ),
    JobState.PAUSED: frozenset({JobState.QUEUED, JobState.CANCELLED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}

DATASET_TRANSITIONS: dict[DatasetState, frozenset[DatasetState]] = {
    DatasetState.VALIDATING: frozenset({DatasetState.READY, DatasetState.REJECTED, DatasetState.NEEDS_ANSWER}),
    # rejected: nobody has answered in time
    DatasetState.NEEDS_ANSWER: frozenset({DatasetState.VALIDATING, DatasetState.REJECTED}),
    DatasetState.READY: frozenset(),
    DatasetState.REJECTED: frozenset(),
}

TERMINAL_JOB_STATES = frozenset(state for state, onward in JOB_TRANSITIONS.items() if not onward)
OPEN_JOB_STATES = frozenset(JOB_TRANSITIONS) - TERMINAL_JOB_STATES
