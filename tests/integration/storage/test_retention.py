"""What is older than the operator keeps goes, on either database, and nothing else does."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from ulid import ULID

from app.cli import main
from app.db.engine import Store
from app.db.models import Artifact, AuditEntry, Job, JobEvent, JobMetric, utcnow
from app.domain.errors import StoreUnavailable
from app.domain.spec import JobSpec
from app.domain.states import JobState, Stage
from app.queue import make_celery
from app.services import retention
from app.settings import Settings
from app.storage.blobs import Blobs
from app.storage.keys import artifact_key, checkpoint_key
from tests.support import client_of
from worker.reconciler import Reconciler

DAYS = 30
CONTENT = b"a student"
RULES = {rule.what: rule for rule in retention.RULES}


class Kept:
    """A store and a storage with jobs of any age."""

    def __init__(self, store: Store, settings: Settings, tmp_path: Path) -> None:
        self.store, self.settings, self.blobs = store, settings, Blobs(settings.storage)
        self._source = tmp_path / "source"
        self._source.write_bytes(CONTENT)

    def job(self, days: float, state: JobState = JobState.SUCCEEDED, **columns: Any) -> str:
        """That ended so many days ago, with two events, a piece of a curve, a file and a checkpoint."""
        when = utcnow() - timedelta(days=days)
        job_id = f"job_{ULID.from_datetime(when - timedelta(hours=1))}"
        spec = JobSpec(dataset_id="ds_1", student="test_vit", method="scratch").model_dump(mode="json")
        ended = when if state in {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED} else None
        row = Job(id=job_id, dataset_id="ds_1", state=state, spec=spec, epoch=1, finished_at=ended, created_at=when)
        for name, value in columns.items():
            setattr(row, name, value)
        with self.store.write() as session:
            session.add(row)
            session.flush()
            for seq in (1, 2):
                session.add(JobEvent(job_id=job_id, seq=seq, epoch=1, kind="info", code="a", message="b"))
            session.add(
                JobMetric(job_id=job_id, seq=1, epoch=1, stage=Stage.DISTILL, first_step=1, last_step=1, points=[])
            )
            key = artifact_key(job_id, 1, "student.onnx")
            session.add(
                Artifact(
                    job_id=job_id, name="student.onnx", bytes=9, sha256="0" * 64, media_type="a/b", storage_key=key
                )
            )
        self.put(key)
        return job_id

    def put(self, key: str) -> str:
        self.blobs.put_file(key, self._source)
        return key

    def prune(self, what: str, days: float = DAYS, *, dry_run: bool = False) -> tuple[int, int]:
        rule, before = RULES[what], utcnow() - timedelta(days=days)
        ids = retention.find_old(self.store, rule, before)
        amount = retention.prune(self.store, self.blobs, rule, before, ids, dry_run=dry_run)
        return amount.count, amount.bytes

    def ids(self) -> set[str]:
        with self.store.read() as session:
            return set(session.scalars(select(Job.id)))

    def rows(self, table: Any, job_id: str) -> int:
        with self.store.read() as session:
            return session.scalar(select(func.count()).where(table.job_id == job_id)) or 0

    def has_file(self, job_id: str) -> bool:
        return self.blobs.exists(artifact_key(job_id, 1, "student.onnx"))


@pytest.fixture
def kept(store: Store, store_url: str, settings: Settings, tmp_path: Path) -> Kept:
    return Kept(store, settings.model_copy(update={"database_url": store_url}), tmp_path)


@pytest.fixture
def http(kept: Kept) -> Iterator[TestClient]:
    with client_of(kept.settings) as client:
        yield client


class TestJobs:
    def test_go_with_all_that_is_theirs(self, kept: Kept) -> None:
        old, young = kept.job(31), kept.job(29)
        assert kept.prune("jobs") == (1, len(CONTENT))
        assert kept.ids() == {young}
        assert not kept.has_file(old) and kept.has_file(young)
        assert [kept.rows(table, old) for table in (JobEvent, JobMetric, Artifact)] == [0, 0, 0]
        with kept.store.read() as session:
            (line,) = session.scalars(select(AuditEntry))
        assert (line.actor, line.action, line.object_id) == ("retention", "delete_job", old)

    @pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING, JobState.PAUSED])
    def test_stay_while_they_have_not_ended(self, kept: Kept, state: JobState) -> None:
        job = kept.job(400, state)
        for what in RULES:
            kept.prune(what)
        assert kept.ids() == {job} and kept.has_file(job)
        assert [kept.rows(table, job) for table in (JobEvent, JobMetric, Artifact)] == [2, 1, 1]

    def test_leave_the_checkpoint_that_a_running_retry_goes_on_from(self, kept: Kept) -> None:
        old = kept.job(40, JobState.FAILED)
        key = kept.put(checkpoint_key(old, 1))
        retry = kept.job(0, JobState.RUNNING, retry_of=old, checkpoint_key=key)
        assert kept.prune("jobs")[0] == 1
        assert kept.ids() == {retry} and kept.blobs.exists(key)

    def test_stay_until_the_one_that_repeats_them_has_ended(self, kept: Kept) -> None:
        old = kept.job(40)
        again = kept.job(0, JobState.QUEUED, rerun_of=old)
        assert kept.prune("jobs") == kept.prune("files") == (0, 0)
        assert kept.has_file(old)
        with kept.store.write() as session:
            session.get_one(Job, again).state = JobState.CANCELLED
        assert kept.prune("jobs")[0] == 1

    def test_stay_where_the_storage_is_away(self, kept: Kept) -> None:
        old = kept.job(40)
        file = kept.settings.root / "blobs" / "file"
        file.write_bytes(b"")
        away = Blobs(file.as_uri())  # every path below it is an OSError
        rule, before = RULES["jobs"], utcnow()
        with pytest.raises(StoreUnavailable):
            retention.prune(kept.store, away, rule, before, [old])
        assert kept.ids() == {old} and kept.rows(Artifact, old) == 1


class TestFiles:
    def test_go_and_the_rest_stays(self, kept: Kept, http: TestClient) -> None:
        old, young = kept.job(31, evaluation={"a": 1}), kept.job(29)
        assert kept.prune("files") == (1, len(CONTENT))
        assert kept.prune("files") == (0, 0)
        assert not kept.has_file(old) and kept.has_file(young)
        url = f"/v1/jobs/{old}"
        for path in ("artifacts", "artifacts/student.onnx", "artifacts/manifest.json", "artifacts.zip"):
            problem = http.get(f"{url}/{path}")
            assert (problem.status_code, problem.json()["code"]) == (410, "files_deleted"), path
            assert "because of their age" in problem.json()["detail"] and "rerun" in problem.json()["hint"]
        assert http.post(f"{url}/predict", files={"file": ("a.png", b"png")}).json()["code"] == "files_deleted"
        assert http.get(url).json()["files_deleted_at"] is not None
        assert http.get(f"{url}/evaluation").json() == {"a": 1}
        assert len(http.get(f"{url}/events").json()["data"]) == 2
        assert http.get(f"/v1/jobs/{young}").json()["files_deleted_at"] is None

    def test_of_a_job_that_has_none_are_not_called_deleted(self, kept: Kept, http: TestClient) -> None:
        old = kept.job(40, JobState.FAILED)
        with kept.store.write() as session:
            session.delete(session.get_one(Artifact, (old, "student.onnx")))
        assert kept.prune("files") == (0, 0)
        assert http.get(f"/v1/jobs/{old}/artifacts").json()["data"] == []


class TestEventsCurvesAndAudit:
    @pytest.mark.parametrize(("what", "table", "count"), [("events", JobEvent, 2), ("curves", JobMetric, 1)])
    def test_go_by_the_age_of_their_job(self, kept: Kept, what: str, table: Any, count: int) -> None:
        old, young = kept.job(31), kept.job(29)
        assert kept.prune(what, dry_run=True) == kept.prune(what) == (count, 0)
        assert (kept.rows(table, old), kept.rows(table, young)) == (0, count)
        assert kept.ids() == {old, young} and kept.has_file(old)

    def test_lines_go_by_their_own_age(self, kept: Kept) -> None:
        with kept.store.write() as session:
            for days in (400, 31, 29):
                moment = utcnow() - timedelta(days=days)
                session.add(AuditEntry(id=f"aud_{ULID.from_datetime(moment)}", tenant="t", actor="a", action=str(days)))
        assert kept.prune("audit lines") == (2, 0)
        with kept.store.read() as session:
            assert session.scalars(select(AuditEntry.action)).all() == ["29"]


class TestReconciler:
    def test_deletes_a_batch_at_a_time_and_then_waits(self, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(retention, "BATCH", 2)
        old, young = [kept.job(31 + number) for number in range(5)], kept.job(1)
        settings = kept.settings.model_copy(update={"keep_job_days": DAYS})
        reconciler = Reconciler(settings, kept.store, kept.blobs, make_celery(settings), threading.Event())
        left = []
        for _ in range(4):
            reconciler.delete_old()
            left.append(len(kept.ids()))
        assert left == [4, 2, 1, 1]  # five in batches of two, the oldest first, and the young one
        kept.job(50)
        reconciler.delete_old()
        assert len(kept.ids()) == 2  # not before a minute has gone
        assert young in kept.ids() and not set(old) & kept.ids()

    def test_deletes_nothing_by_default(self, kept: Kept) -> None:
        job = kept.job(10_000)
        reconciler = Reconciler(kept.settings, kept.store, kept.blobs, make_celery(kept.settings), threading.Event())
        reconciler.delete_old()
        assert kept.ids() == {job} and kept.has_file(job) and kept.rows(JobEvent, job) == 2


class TestPrune:
    @pytest.fixture(autouse=True)
    def environment(self, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TDMR_HOME", str(kept.settings.home))
        monkeypatch.setenv("TDMR_DATABASE_URL", kept.settings.database_url)

    @staticmethod
    def tdmr(*options: str) -> Result:
        return CliRunner().invoke(main, ["prune", *options])

    def test_says_what_it_would_delete_and_then_deletes_that(self, kept: Kept) -> None:
        old, middle, young = kept.job(100), kept.job(40), kept.job(1)
        options = ["--job-days=90", "--file-days=30", "--event-days=30"]
        said = self.tdmr(*options, "--dry-run")
        assert said.exit_code == 0, said.output
        assert kept.ids() == {old, middle, young} and kept.has_file(old) and kept.has_file(middle)
        done = self.tdmr(*options)
        assert said.output.splitlines() == [*done.output.splitlines(), "Nothing was deleted: --dry-run."]
        assert done.output.splitlines() == [
            "jobs older than 90 days: 1 (9 bytes)",
            "files older than 30 days: 1 (9 bytes)",
            "events older than 30 days: 2",
            "curves: all are kept (TDMR_KEEP_CURVE_DAYS is 0)",
            "audit lines: all are kept (TDMR_KEEP_AUDIT_DAYS is 0)",
            "orphans in the storage: 0",
        ]
        assert kept.ids() == {middle, young}
        assert kept.has_file(young) and not kept.has_file(middle) and not kept.has_file(old)

    def test_takes_the_settings(self, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
        kept.job(100)
        monkeypatch.setenv("TDMR_KEEP_JOB_DAYS", "90")
        assert "jobs older than 90 days: 1 (9 bytes)" in self.tdmr("--no-orphans").output
        assert kept.ids() == set()

    def test_refuses_a_storage_that_belongs_to_another_database(
        self, kept: Kept, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = kept.put(artifact_key(f"job_{ULID()}", 1, "student.onnx"))
        monkeypatch.setattr("app.services.orphans.safe_age", lambda settings: timedelta(seconds=-60))
        refused = self.tdmr()
        assert refused.exit_code == 1 and "TDMR_STORAGE_URL" in refused.output
        assert kept.blobs.exists(key)
