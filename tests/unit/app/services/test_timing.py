from datetime import UTC, datetime, timedelta

import pytest

from app.db.models import Job
from app.domain.states import JobState
from app.services.timing import remaining_seconds

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(("left", "said"), [(0.001, 0.1), (0.04, 0.1), (0.1, 0.1), (600, 600), (-1, None)])
def test_only_an_ended_job_has_nothing_left(left: float, said: float | None) -> None:
    job = Job(state=JobState.RUNNING, expected_end=NOW + timedelta(seconds=left))
    job.read_at = NOW
    assert remaining_seconds(job) == said
    job.state = JobState.SUCCEEDED
    assert remaining_seconds(job) == 0
