"""The state of the service as a whole. Reads few rows and the totals, so it costs the same after a million jobs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.db.models import utcnow
from app.db.queries import statistics as queries
from app.db.queries.jobs import Held, held_jobs
from app.domain.states import TERMINAL_JOB_STATES, DatasetState, JobState


@dataclass(frozen=True, slots=True)
class Statistics:
    """By state: every state is a key, whether anything is in it or not."""

    jobs: Mapping[str, int]
    datasets: Mapping[str, int]
    queue_age_seconds: float
    """Since the job that was created first among the queued ones was created; 0 if none is queued."""
    held: Sequence[Held]
    """The running jobs, with their heartbeat counters."""
    images_per_second: float
    """What all students under training see together, by what their workers said last."""
    attempts: int
    finished: Mapping[str, int]
    stage_seconds: Mapping[str, float]


def read(session: Session) -> Statistics:
    counted = queries.totals(session)
    # an ended job stays what it is for good, so these need no counting
    finished = {
        state.value: int(counted.get((queries.JOBS_FINISHED, state), 0)) for state in sorted(TERMINAL_JOB_STATES)
    }
    jobs = queries.count_open_jobs(session)
    datasets = queries.count_datasets(session)
    oldest = queries.oldest_queued(session)
    return Statistics(
        jobs={state.value: finished.get(state, jobs.get(state, 0)) for state in JobState},
        datasets={state.value: datasets.get(state, 0) for state in DatasetState},
        queue_age_seconds=0.0 if oldest is None else max(0.0, (utcnow() - oldest).total_seconds()),
        held=held_jobs(session),
        images_per_second=queries.images_per_second(session),
        attempts=int(counted.get((queries.ATTEMPTS, ""), 0)),
        finished=finished,
        stage_seconds={label: value for (name, label), value in counted.items() if name == queries.STAGE_SECONDS},
    )
