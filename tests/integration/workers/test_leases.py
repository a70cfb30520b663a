"""Claims fence each other, on both databases."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy.orm import Session

from app.db.engine import Store
from app.db.ids import new_id
from app.db.models import Dataset, Job
from app.db.queries import queue
from app.db.queries.claims import Claim, Heartbeat
from app.domain.dataset import DatasetReport
from app.domain.errors import StateConflict
from app.domain.manifest import ArtifactFile
from app.domain.progress import EventLine, MetricLine
from app.domain.spec import JobSpec
from app.domain.states import JOB_TRANSITIONS, DatasetState, JobState, Stage, StopRequest
from app.services import leases
from app.services.dataset_leases import (
    DATASETS,
    accept_dataset,
    claim_dataset,
    reject_dataset,
    release_dataset,
)
from app.services.leases import JOBS, JobClaim
from app.services.states import move_job

FILE = ArtifactFile(name="a", bytes=1, sha256="0" * 64, media_type="text/plain")


def add_dataset(store: Store) -> str:
    dataset_id = new_id("ds")
    with store.write() as session:
        session.add(Dataset(id=dataset_id, name="n", bytes=1, sha256="0" * 64, upload_key="uploads/x"))
    return dataset_id


def add_job(store: Store, state: JobState = JobState.QUEUED) -> str:
    dataset_id, job_id = new_id("ds"), new_id("job")
    spec = JobSpec(dataset_id=dataset_id, teacher="resnet18", student="resnet10t")
    with store.write() as session:
        session.add(
            Dataset(
                id=dataset_id, name="n", bytes=1, sha256="0" * 64, state=DatasetState.READY, prepared_key="prepared"
            )
        )
        session.add(Job(id=job_id, dataset_id=dataset_id, state=state, spec=spec.model_dump(mode="json")))
    return job_id


def claim(store: Store, job_id: str) -> JobClaim:
    with store.write() as session:
        made = leases.claim_job(session, job_id, "wk_1")
    assert made is not None
    return made


def read(store: Store, job_id: str) -> Job:
    with store.read() as session:
        return session.get_one(Job, job_id)


class TestClaim:
    def test_brings_what_the_worker_needs(self, store: Store) -> None:
        job_id = add_job(store)
        made = claim(store, job_id)
        assert (made.id, made.epoch, made.attempts, made.prepared_key) == (job_id, 1, 1, "prepared")
        assert made.spec.student == "resnet10t"
        job = read(store, job_id)
        assert (job.state, job.worker_id, job.hb_seq) == ("running", "wk_1", 0)
        assert job.started_at is not None

    def test_is_given_once_however_many_ask(self, store: Store) -> None:
        job_id, together = add_job(store), Barrier(8)

        def ask(number: int) -> Claim | None:
            together.wait()
            with store.write() as session:
                return leases.claim_job(session, job_id, f"wk_{number}")

        with ThreadPoolExecutor(8) as pool:
            given = [made for made in pool.map(ask, range(8)) if made]
        assert [made.epoch for made in given] == [1]
        assert read(store, job_id).epoch == 1

    def test_fails_a_job_whose_spec_is_of_another_version_so_that_it_holds_up_nobody(self, store: Store) -> None:
        job_id, next_id = add_job(store), add_job(store)
        with store.write() as session:
            session.get_one(Job, job_id).spec = {
                "student": "resnet18",
                "dataset_id": "ds_1",
                "an_option_of_tomorrow": 1,
            }
        with store.write() as session:
            assert leases.claim_job(session, job_id, "wk_1") is None
        failed = read(store, job_id)
        assert (failed.state, failed.error["code"]) == ("failed", "invalid_spec")
        assert "POST /v1/jobs" in failed.error["hint"]
        with store.read() as session:
            assert queue.next_queued_job(session) == next_id

    def test_of_an_unknown_job_is_none(self, store: Store) -> None:
        with store.write() as session:
            assert leases.claim_job(session, "job_0", "wk_1") is None


WRITES: dict[str, Callable[[Session, Claim], bool]] = {
    "beat": lambda session, held: JOBS.beat(session, held).alive,
    "record": lambda session, held: leases.record(
        session,
        held,
        stage=Stage.DISTILL,
        progress=0.9,
        points=[MetricLine(stage=Stage.DISTILL, step=1, values={"loss": 1})],
        events=[EventLine(code="c", message="m")],
    ),
    "finish": lambda session, held: leases.finish_job(session, held, [FILE], {}, {"accuracy": 1}, {"decode": 2}),
    "fail": lambda session, held: leases.fail_job(session, held, {"code": "c", "detail": "d"}),
    "release": lambda session, held: leases.release_job(session, held, "worker_stopping"),
    "lose": lambda session, held: leases.record_lost_attempt(session, held, "It was ended by SIGSEGV."),
    "keep a checkpoint": lambda session, held: leases.keep_checkpoint(session, held, "jobs/a/checkpoints/e1.tar"),
}


class TestFencing:
    @pytest.mark.parametrize("write", WRITES)
    def test_a_zombie_changes_nothing(self, store: Store, write: str) -> None:
        job_id = add_job(store)
        zombie = claim(store, job_id)
        with store.write() as session:
            assert leases.release_job(session, zombie, "lost")
        holder = claim(store, job_id)
        before = read(store, job_id)
        with store.write() as session:
            assert WRITES[write](session, zombie) is False
        after = read(store, job_id)
        for column in Job.__table__.columns:
            name = "user_metadata" if column.name == "metadata" else column.name
            assert getattr(after, name) == getattr(before, name), name
        with store.write() as session:
            assert WRITES[write](session, holder) is True

    @pytest.mark.parametrize("write", WRITES)
    def test_nothing_is_written_to_a_job_that_has_ended(self, store: Store, write: str) -> None:
        held = claim(store, add_job(store))
        with store.write() as session:
            assert leases.finish_job(session, held, [FILE], {}, {}, {})
        with store.write() as session:
            assert WRITES[write](session, held) is False

    def test_only_one_of_two_endings_counts(self, store: Store) -> None:
        held, together = claim(store, add_job(store)), Barrier(2)

        def end(write: str) -> bool:
            together.wait()
            with store.write() as session:
                return WRITES[write](session, held)

        with ThreadPoolExecutor(2) as pool:
            assert sorted(pool.map(end, ["finish", "fail"])) == [False, True]


class TestRecord:
    def test_progress_never_goes_back(self, store: Store) -> None:
        held = claim(store, add_job(store))
        for progress in (0.5, 0.2):
            with store.write() as session:
                assert leases.record(session, held, progress=progress)
        job = read(store, held.id)
        assert (job.progress, job.attempts) == (0.5, 0)

    def test_the_latest_metrics_of_stage_one_are_gone_when_stage_two_begins(self, store: Store) -> None:
        held = claim(store, add_job(store))
        latest = []
        for stage, points in (
            (Stage.REPROGRAM, [{"val_accuracy": 0.7, "moments": 2.0}]),
            (Stage.DISTILL, []),
            (Stage.DISTILL, [{"val_accuracy": 0.1}, {"loss": 1.0}]),
            (Stage.EVALUATE, []),
        ):
            lines = [MetricLine(stage=stage, step=step, values=values) for step, values in enumerate(points, 1)]
            with store.write() as session:
                assert leases.record(session, held, stage=stage, points=lines)
            latest.append(read(store, held.id).metrics)
        learned = {"val_accuracy": 0.1, "loss": 1.0}
        assert latest == [{"val_accuracy": 0.7, "moments": 2.0}, {}, learned, learned]

    def test_tells_of_a_cancellation_with_the_heartbeat(self, store: Store) -> None:
        held = claim(store, add_job(store))
        with store.write() as session:
            session.get_one(Job, held.id).stop_requested = StopRequest.CANCEL
        with store.write() as session:
            assert JOBS.beat(session, held) == Heartbeat(alive=True, stop_requested=StopRequest.CANCEL)
        assert read(store, held.id).hb_seq == 1

    def test_a_cancelled_job_is_not_queued_again(self, store: Store) -> None:
        held = claim(store, add_job(store))
        with store.write() as session:
            session.get_one(Job, held.id).stop_requested = StopRequest.CANCEL
            leases.release_job(session, held, "shutdown")
        assert read(store, held.id).state == "cancelled"


class TestDoor:
    @pytest.mark.parametrize("before", JobState)
    @pytest.mark.parametrize("after", JobState)
    def test_opens_exactly_where_the_table_says(self, store: Store, before: JobState, after: JobState) -> None:
        job_id = add_job(store, before)
        with store.write() as session:
            job = session.get_one(Job, job_id)
            if after in JOB_TRANSITIONS[before]:
                move_job(session, job, after, "test")
            else:
                with pytest.raises(StateConflict):
                    move_job(session, job, after, "test")
        assert read(store, job_id).state == (after if after in JOB_TRANSITIONS[before] else before)

    def test_sees_what_another_session_has_done(self, store: Store) -> None:
        job_id = add_job(store)
        with store.read() as session:
            stale = session.get_one(Job, job_id)
        claim(store, job_id)
        with store.write() as session:
            merged = session.merge(stale, load=False)
            assert merged.state == "queued"
            with pytest.raises(StateConflict):
                move_job(session, merged, JobState.RUNNING, "test")


class TestDatasets:
    def test_a_zombie_import_changes_nothing(self, store: Store) -> None:
        dataset_id = add_dataset(store)
        with store.write() as session:
            zombie = claim_dataset(session, dataset_id, "wk_1")
            assert zombie is not None
            assert claim_dataset(session, dataset_id, "wk_2") is None
            assert release_dataset(session, zombie)
            assert not DATASETS.beat(session, zombie).alive
            holder = claim_dataset(session, dataset_id, "wk_2")
            assert holder is not None
        with store.write() as session:
            assert not accept_dataset(session, zombie, "k", DatasetReport())
            assert not reject_dataset(session, zombie, {"detail": "d"})
            assert not release_dataset(session, zombie)
            assert DATASETS.beat(session, holder).alive
            assert accept_dataset(session, holder, "k", DatasetReport(digest="d"))
        with store.write() as session:
            assert not reject_dataset(session, holder, {"detail": "d"})
        with store.read() as session:
            dataset = session.get_one(Dataset, dataset_id)
        assert (dataset.state, dataset.epoch, dataset.prepared_key, dataset.upload_key) == ("ready", 2, "k", None)
