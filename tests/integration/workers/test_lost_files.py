"""Local files of a worker are deleted while a job runs: the host's fault, so another attempt goes on."""

import pytest
from sqlalchemy import update

from app.db.models import Job
from app.domain.states import JobState
from app.services.leases import MOST_ATTEMPTS
from tests.integration.supervising import Harness


@pytest.mark.parametrize("behaviour", ["loses its folder", "loses its data"])
class TestLostFiles:
    def test_the_job_goes_on_in_another_attempt(self, harness: Harness, behaviour: str) -> None:
        job_id = harness.submit()

        harness.supervisor(behaviour).run_next()

        assert harness.job(job_id).state == JobState.QUEUED
        assert harness.requeued == [job_id]
        assert ("warning", "attempt_lost") in harness.events(job_id)
        harness.supervisor().run_next()
        assert (harness.job(job_id).state, harness.job(job_id).epoch) == (JobState.SUCCEEDED, 2)

    def test_the_job_fails_when_that_comes_again_and_again(self, harness: Harness, behaviour: str) -> None:
        job_id = harness.submit()
        with harness.store.write() as session:  # an attempt before came further
            session.execute(update(Job).where(Job.id == job_id).values(progress=1.0))

        for _ in range(MOST_ATTEMPTS):
            harness.supervisor(behaviour).run_next()

        job = harness.job(job_id)
        assert (job.state, job.epoch) == (JobState.FAILED, MOST_ATTEMPTS)
        assert job.error is not None
        assert job.error["code"] == "worker_lost_repeatedly"
