"""What is new about a job since a client last heard of it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from sqlalchemy.orm import Session

from app.db.models import Job, JobEvent, JobMetric
from app.db.queries import datasets as dataset_queries
from app.db.queries import jobs as queries
from app.db.queries.jobs import Stamp
from app.domain.access import Quotas
from app.domain.errors import InvalidRequest
from app.domain.fair_queue import QueuePosition
from app.domain.states import TERMINAL_JOB_STATES
from app.services import jobs

MOST_AT_ONCE = 200
"""Events, and pieces of curves, that are read in one go: a client that was away for long catches up in several."""

_CURSOR = re.compile(r"(\d{1,15})(?:\.(\d{1,15}))?")


@dataclass(frozen=True, slots=True)
class Cursor:
    """How much of a job's story a client has heard. Written `12.34`: the `seq` of the last event, and the number of
    the last piece of the curves."""

    events: int = 0
    pieces: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Raises:
            InvalidRequest: if it is no id of a stream.
        """
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise InvalidRequest(
                "Last-Event-ID is not an id of this stream.",
                hint="Send the `id` of the last event that you received, or leave the header out to start over.",
                param="Last-Event-ID",
            )
        return cls(int(match[1]), int(match[2] or 0))

    def __str__(self) -> str:
        return f"{self.events}.{self.pieces}"


@dataclass(frozen=True, slots=True)
class News:
    """What a job has to tell beyond a cursor."""

    job: Job
    places: dict[str, QueuePosition]
    events: Sequence[JobEvent]
    pieces: Sequence[JobMetric]
    has_more: bool

    @property
    def is_last(self) -> bool:
        """Nothing will follow."""
        return self.job.state in TERMINAL_JOB_STATES and not self.has_more


def news(session: Session, defaults: Quotas, tenant: str, job_id: str, cursor: Cursor) -> News:
    """
    Raises:
        NotFound: if there is no such job.
    """
    # the job first: if it has ended, all its events are there by now
    job = jobs.find(session, tenant, job_id)
    places = jobs.queue_positions(session, defaults, [job])
    events = queries.list_events(session, job.id, after=cursor.events, limit=MOST_AT_ONCE)
    pieces = queries.list_metrics_after(session, job.id, after=cursor.pieces, limit=MOST_AT_ONCE)
    return News(job, places, events.items, pieces.items, events.has_more or pieces.has_more)


def stamps(session: Session, object_ids: Iterable[str]) -> dict[str, Stamp | None]:
    """Of jobs and data sets, by id; None for what does not exist (any more)."""
    ids = list(object_ids)
    of_jobs = [object_id for object_id in ids if object_id.startswith("job_")]
    of_datasets = [object_id for object_id in ids if object_id.startswith("ds_")]
    found = [
        *(queries.stamps(session, of_jobs) if of_jobs else ()),
        *(dataset_queries.stamps(session, of_datasets) if of_datasets else ()),
    ]
    return dict.fromkeys(ids) | {stamp.id: stamp for stamp in found}
