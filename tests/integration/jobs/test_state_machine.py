"""Every way through a job's life that Hypothesis finds, on both databases, beside a model of what must come of it.

TDMR_TEST_EXAMPLES=500 looks longer, each time at other ways.
"""

import os
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.engine import Store
from app.db.models import Artifact, Job, JobEvent, JobMetric
from app.db.queries import jobs as queries
from app.db.queries import queue
from app.db.queries.jobs import Held
from app.domain.access import Caller, Quotas
from app.domain.errors import StateConflict
from app.domain.manifest import ArtifactFile
from app.domain.progress import MetricLine
from app.domain.spec import JobSpec
from app.domain.states import TERMINAL_JOB_STATES, JobState, Stage, StopRequest
from app.services import job_actions, jobs, leases, reaping
from app.services.leases import JOBS, MOST_ATTEMPTS, JobClaim
from app.storage.keys import checkpoint_key
from tests.databases import migrate
from tests.integration.life import TENANTS, Expected, empty, forecast, hurry, row_of

EXAMPLES = int(os.environ.get("TDMR_TEST_EXAMPLES", "0"))
LOOK = settings(
    max_examples=EXAMPLES or 30,
    stateful_step_count=50,
    derandomize=not EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
FILE = ArtifactFile(name="student.onnx", bytes=1, sha256="0" * 64, media_type="text/plain")
NO_QUOTAS = Quotas(None, None, None)


class Life(RuleBasedStateMachine):
    """Claims are kept for good, so most of those that are drawn belong to zombies."""

    jobs = Bundle("jobs")
    claims = Bundle("claims")

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store
        self.expected: dict[str, Expected] = {}
        self.ended: dict[str, tuple[object, ...]] = {}
        self.seen: list[Held] = []
        self.holders: dict[str, JobClaim] = {}
        self.datasets = empty(store)
        self.first = [self.submit(tenant, priority) for tenant in TENANTS for priority in (0, 5)]

    @initialize(target=jobs)
    def know_the_first_jobs(self) -> object:
        return multiple(*self.first)

    @initialize(target=claims)
    def claim_some(self) -> object:
        return multiple(self.claim_next(), self.claim_next())

    @rule(target=jobs, tenant=st.sampled_from(TENANTS), priority=st.sampled_from((0, 0, 5)))
    def submit(self, tenant: str, priority: int) -> str:
        spec = JobSpec(dataset_id=self.datasets[tenant], student="test_vit", method="scratch", priority=priority)
        with self.store.write() as session:
            job_id = jobs.submit(session, NO_QUOTAS, Caller(tenant, "local"), spec).job.id
        self.expected[job_id] = Expected(tenant)
        return job_id

    @rule(target=claims)
    def claim_next(self) -> object:
        with self.store.write() as session:
            job_id = queue.next_queued_job(session)
            assert job_id == next(iter(forecast(session)), None)
            if job_id is None:
                return multiple()
            claim = leases.claim_job(session, job_id, "wk_1")
        return self._claimed(claim, job_id)

    @rule(target=claims, job_id=jobs)
    def claim(self, job_id: str) -> object:
        with self.store.write() as session:
            claim = leases.claim_job(session, job_id, "wk_2")
        if self.expected[job_id].state is not JobState.QUEUED:
            assert claim is None
            return multiple()
        return self._claimed(claim, job_id)

    @rule(claim=claims)
    def beat(self, claim: JobClaim) -> None:
        if self._write(claim, lambda session: JOBS.beat(session, claim).alive):
            self.expected[claim.id].beats += 1

    @rule(claim=claims, eighths=st.integers(0, 7))
    def record(self, claim: JobClaim, eighths: int) -> None:
        progress, points = eighths / 8, [MetricLine(stage=Stage.DISTILL, step=eighths, values={"loss": 1.0})]
        change = {"stage": Stage.DISTILL, "progress": progress, "points": points}
        if self._write(claim, lambda session: leases.record(session, claim, **change)):
            job = self.expected[claim.id]
            if progress > job.progress:
                job.progress, job.attempts = progress, 0

    @rule(claim=claims)
    def keep_checkpoint(self, claim: JobClaim) -> None:
        key = checkpoint_key(claim.id, claim.epoch)
        if self._write(claim, lambda session: leases.keep_checkpoint(session, claim, key)):
            self.expected[claim.id].checkpoint = key

    @rule(claim=claims)
    def release(self, claim: JobClaim) -> None:
        if self._write(claim, lambda session: leases.release_job(session, claim, "worker_stopping")):
            job = self.expected[claim.id]
            job.attempts = max(0, job.attempts - 1)
            job.give_back()

    @rule(claim=claims)
    def lose(self, claim: JobClaim) -> None:
        if self._write(claim, lambda session: leases.record_lost_attempt(session, claim, "It was ended by SIGSEGV.")):
            self.expected[claim.id].lose()

    @rule(target=claims, job_id=jobs, times=st.integers(1, MOST_ATTEMPTS))
    def kill_its_workers(self, job_id: str, times: int) -> object:
        dead = []
        for _ in range(times):
            if self.expected[job_id].state is JobState.QUEUED:
                claim = self.claim(job_id)
                self.lose(claim)
                dead.append(claim)
        return multiple(*dead)

    @rule(claim=claims)
    def finish(self, claim: JobClaim) -> None:
        if self._write(claim, lambda session: leases.finish_job(session, claim, [FILE], {}, {}, {"decode": 1.0})):
            self.expected[claim.id].progress = 1.0
            self.expected[claim.id].move(JobState.SUCCEEDED)

    @rule(claim=claims)
    def fail(self, claim: JobClaim) -> None:
        problem = {"code": "training_failed", "detail": "No."}
        if self._write(claim, lambda session: leases.fail_job(session, claim, problem)):
            self.expected[claim.id].error = "training_failed"
            self.expected[claim.id].move(JobState.FAILED)

    @rule(alive=st.sets(st.sampled_from(TENANTS)))
    def reap(self, alive: set[str]) -> None:
        """Some beat, and the watcher takes back what has not moved since it looked last: twice, as two would."""
        for job_id, job in self.expected.items():
            if job.state is JobState.RUNNING and job.tenant in alive:
                self.beat(self.holders[job_id])
        for held in 2 * self.seen:
            job = self.expected[held.id]
            unmoved = job.state is JobState.RUNNING and (job.epoch, job.beats) == (held.epoch, held.hb_seq)
            with self.store.write() as session:
                became = reaping.reap_job(session, held)
            if unmoved:
                job.lose()
            assert became == (job.state if unmoved else None)
        with self.store.read() as session:
            self.seen = queries.held_jobs(session)

    @rule(job_id=jobs)
    def cancel(self, job_id: str) -> None:
        job = self.expected[job_id]
        if self._ask(job_actions.cancel, job_id, allowed=job.state not in TERMINAL_JOB_STATES):
            if job.state is JobState.RUNNING:
                job.stop = StopRequest.CANCEL
            else:
                job.move(JobState.CANCELLED)

    @rule(job_id=jobs)
    def pause(self, job_id: str) -> None:
        job = self.expected[job_id]
        allowed = job.state not in TERMINAL_JOB_STATES and job.stop is not StopRequest.CANCEL
        if self._ask(job_actions.pause, job_id, allowed=allowed):
            if job.state is JobState.RUNNING:
                job.stop = StopRequest.PAUSE
            elif job.state is JobState.QUEUED:
                job.move(JobState.PAUSED)

    @rule(job_id=jobs)
    def resume(self, job_id: str) -> None:
        job = self.expected[job_id]
        allowed = job.state is JobState.PAUSED or job.stop is StopRequest.PAUSE
        if self._ask(job_actions.resume, job_id, NO_QUOTAS, allowed=allowed):
            if job.state is JobState.PAUSED:
                job.move(JobState.QUEUED)
            job.stop = None

    @rule(target=jobs, job_id=jobs)
    def retry(self, job_id: str) -> object:
        job = self.expected[job_id]
        heir = self._ask(
            job_actions.retry, job_id, NO_QUOTAS, allowed=job.state in {JobState.FAILED, JobState.CANCELLED}
        )
        if heir is None:
            return multiple()
        self.expected[heir.id] = Expected(job.tenant, checkpoint=job.checkpoint)
        job.checkpoint = None
        return heir.id

    @invariant()
    def the_store_says_what_is_expected(self) -> None:
        with self.store.read() as session:
            for job in session.scalars(select(Job)):
                expected = self.expected[job.id]
                told = (job.state, job.epoch, job.hb_seq, job.attempts, job.progress, job.stop_requested)
                assert told == (
                    *(expected.state, expected.epoch, expected.beats),
                    *(expected.attempts, expected.progress, expected.stop),
                )
                assert job.checkpoint_key == expected.checkpoint
                assert (job.error and job.error["code"]) == expected.error
                assert (job.worker_id is not None) == (expected.state is JobState.RUNNING)
                if expected.state in TERMINAL_JOB_STATES:
                    now = row_of(job)
                    assert self.ended.setdefault(job.id, now) == now, "an ended job has changed"

    @invariant()
    def each_change_of_state_has_its_event(self) -> None:
        with self.store.read() as session:
            events = session.scalars(select(JobEvent).order_by(JobEvent.job_id, JobEvent.seq)).all()
            artifacts = session.scalars(select(Artifact)).all()
        for job_id, job in self.expected.items():
            of_job = [one for one in events if one.job_id == job_id]
            assert [one.seq for one in of_job] == list(range(1, len(of_job) + 1))
            assert [one.epoch for one in of_job] == sorted(one.epoch for one in of_job)
            changes = [one.data for one in of_job if one.kind == "state"]
            assert [change["to"] for change in changes] == job.history
            assert [change["from"] for change in changes] == [None, *job.history[:-1]]
            assert job.history.count(JobState.SUCCEEDED) <= 1
        published = {job_id for job_id, job in self.expected.items() if job.state is JobState.SUCCEEDED}
        assert sorted(one.job_id for one in artifacts) == sorted(published)
        assert all(f"/e{self.expected[one.job_id].epoch}/" in one.storage_key for one in artifacts)

    @invariant()
    def places_are_counted_without_gaps(self) -> None:
        with self.store.read() as session:
            places = forecast(session)
        assert list(places.values()) == list(range(1, len(places) + 1))
        assert set(places) == {one for one, job in self.expected.items() if job.state is JobState.QUEUED}

    def _claimed(self, claim: JobClaim | None, job_id: str) -> JobClaim:
        job = self.expected[job_id]
        job.move(JobState.RUNNING)
        job.epoch, job.attempts, job.beats = job.epoch + 1, job.attempts + 1, 0
        assert claim is not None
        assert (claim.id, claim.epoch, claim.attempts) == (job_id, job.epoch, job.attempts)
        assert claim.checkpoint_key == job.checkpoint
        self.holders[job_id] = claim
        return claim

    def _write(self, claim: JobClaim, change: Callable[[Session], bool]) -> bool:
        """A write of a holder. One whose claim is over is told so and changes nothing."""
        job = self.expected[claim.id]
        holds = job.state is JobState.RUNNING and job.epoch == claim.epoch
        before = None if holds else self._everything()
        with self.store.write() as session:
            assert change(session) is holds
        assert holds or self._everything() == before
        return holds

    def _ask(self, action: Callable[..., Job], job_id: str, *more: object, allowed: bool) -> Job | None:
        """A user's wish. One that the state does not allow changes nothing."""
        tenant, before = self.expected[job_id].tenant, None if allowed else self._everything()
        try:
            with self.store.write() as session:
                job = action(session, *more, Caller(tenant, "local"), job_id)
        except StateConflict:
            assert not allowed and self._everything() == before
            return None
        assert allowed
        return job

    def _everything(self) -> list[tuple[object, ...]]:
        with self.store.read() as session:
            rows = [session.scalars(select(table)).all() for table in (Job, JobEvent, JobMetric, Artifact)]
        return sorted((row_of(row) for of_table in rows for row in of_table), key=repr)


@pytest.fixture
def quick_store(store_url: str) -> Iterator[Store]:
    migrate(store_url)
    store = Store(store_url)
    hurry(store.engine)
    yield store
    store.close()


@pytest.mark.timeout(0 if EXAMPLES else 300)
def test_every_way_through_a_jobs_life(quick_store: Store) -> None:
    run_state_machine_as_test(lambda: Life(quick_store), settings=LOOK)
