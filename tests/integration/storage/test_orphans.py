"""Blobs that no row names are found, and none is that a row names or may yet name: on either database, in a folder and
in a bucket."""

import os
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import fsspec
import pytest
from sqlalchemy.orm import Session

from app.db.engine import Store
from app.db.ids import new_id
from app.db.models import Artifact, Dataset, Job
from app.domain.access import Caller, Quotas
from app.domain.manifest import ArtifactFile
from app.domain.spec import JobSpec
from app.domain.states import DatasetState, JobState
from app.services import datasets, leases, orphans
from app.services.datasets import Upload
from app.settings import Settings
from app.storage.blobs import Blobs
from app.storage.keys import artifact_key, checkpoint_key, prepared_key, preview_key, upload_key

EVERY_AGE = timedelta(seconds=-60)
"""A blob of this moment is older."""


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.slow)])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Blobs]:
    if request.param == "file":
        yield Blobs((tmp_path / "blobs").as_uri())
        return
    request.getfixturevalue("s3")
    bucket = f"s3://t{uuid.uuid4().hex}"
    fsspec.filesystem("s3").makedirs(bucket)
    yield Blobs(f"{bucket}/folder")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"bytes")
    return path


def found(store: Store, blobs: Blobs, age: timedelta = EVERY_AGE) -> set[str]:
    return {orphan.key for piece in orphans.find(store, blobs, age) for orphan in piece.orphans}


def add_job(session: Session, state: JobState, **columns: object) -> str:
    spec = JobSpec(dataset_id="ds_1", student="test_vit", method="scratch").model_dump(mode="json")
    job = Job(id=new_id("job"), dataset_id="ds_1", state=state, spec=spec, epoch=1)
    for name, value in columns.items():
        setattr(job, name, value)
    session.add(job)
    session.flush()
    return job.id


def add_dataset(session: Session, state: DatasetState, **columns: object) -> str:
    row = Dataset(id=new_id("ds"), name="a.zip", bytes=1, sha256="0" * 64, state=state)
    for name, value in columns.items():
        setattr(row, name, value)
    session.add(row)
    session.flush()
    return row.id


class TestFind:
    def test_tells_orphans_from_what_is_named(self, store: Store, blobs: Blobs, source: Path) -> None:
        with store.write() as session:
            done, failed = add_job(session, JobState.SUCCEEDED), add_job(session, JobState.FAILED)
            key = artifact_key(done, 1, "resnet18/student.onnx")
            session.add(Artifact(job_id=done, name="a", bytes=5, sha256="0" * 64, media_type="a/b", storage_key=key))
            # the retry of a failed job names that one's checkpoint; a data set, another one's archive
            add_job(session, JobState.FAILED, checkpoint_key=checkpoint_key(failed, 1))
            first = add_dataset(session, DatasetState.REJECTED)
            prepared = prepared_key(first, 1)
            add_dataset(session, DatasetState.READY, prepared_key=prepared)
            add_dataset(session, DatasetState.REJECTED, upload_key=upload_key(first))
        nobody, nothing = new_id("job"), new_id("ds")
        named = [key, checkpoint_key(failed, 1), prepared, preview_key(prepared), upload_key(first)]
        unnamed = [
            artifact_key(done, 1, "student.onnx"),
            artifact_key(done, 2, "resnet18/student.onnx"),
            artifact_key(nobody, 1, "manifest.json"),
            checkpoint_key(failed, 2),
            prepared_key(first, 2),
            upload_key(nothing),
            prepared_key(nothing, 1),
            preview_key(prepared_key(nothing, 1)),
        ]
        for each in (*named, *unnamed, "uploads/not ours", "other/thing", f"other/{nothing}"):
            blobs.put_file(each, source)
        assert found(store, blobs) == set(unnamed)
        for piece in orphans.find(store, blobs, EVERY_AGE):
            orphans.remove(blobs, piece.orphans)
        assert found(store, blobs) == set()
        assert all(map(blobs.exists, (*named, "uploads/not ours", "other/thing", f"other/{nothing}")))

    def test_leaves_what_is_young(self, store: Store, blobs: Blobs, source: Path) -> None:
        key = upload_key(new_id("ds"))
        blobs.put_file(key, source)
        assert found(store, blobs, timedelta(hours=1)) == set()
        assert found(store, blobs) == {key}

    def test_works_through_many_objects(
        self, store: Store, blobs: Blobs, source: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(orphans, "_AT_ONCE", 2)
        keys = {upload_key(new_id("ds")) for _ in range(5)}
        for key in keys:
            blobs.put_file(key, source)
        assert found(store, blobs) == keys

    def test_is_content_with_an_empty_storage(self, store: Store, blobs: Blobs) -> None:
        assert found(store, blobs) == set()

    def test_knows_what_an_interrupted_write_has_left(self, store: Store, tmp_path: Path, source: Path) -> None:
        blobs = Blobs((tmp_path / "blobs").as_uri())
        key = f"uploads/.{new_id('ds')}.{uuid.uuid4().hex}"
        blobs.put_file(key, source)
        assert found(store, blobs) == {key}


class TestInFlight:
    """Transactions that are about to name a blob, however old it looks."""

    @pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING, JobState.PAUSED])
    def test_leaves_everything_of_a_job_that_has_not_ended(
        self, store: Store, blobs: Blobs, source: Path, state: JobState
    ) -> None:
        with store.write() as session:
            job_id = add_job(session, state)
        for key in (artifact_key(job_id, 1, "student.onnx"), checkpoint_key(job_id, 1)):
            blobs.put_file(key, source)
        assert found(store, blobs) == set()

    def test_leaves_what_a_job_publishes_in_this_moment(
        self, store: Store, blobs: Blobs, source: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The job ends between the two questions: its files were not named at the first, and it is over at the second.
        Asked in the other order they would be taken for orphans."""
        with store.write() as session:
            add_dataset(session, DatasetState.READY, id="ds_1", prepared_key="p")
            job_id = add_job(session, JobState.QUEUED, epoch=0)
        with store.write() as session:
            claim = leases.claim_job(session, job_id, "wk_1")
        assert claim is not None
        key = artifact_key(job_id, 1, "student.onnx")
        blobs.put_file(key, source)
        asked = orphans.queries.unfinished

        def ends_behind_it(session: Session, ids: list[str]) -> set[str]:
            answer = asked(session, ids)
            if store.engine.dialect.name == "sqlite":
                session.commit()  # a reader there sees one moment; the worst case is one that sees two
            file = ArtifactFile(name="student.onnx", bytes=5, sha256="0" * 64, media_type="a/b")
            with store.write() as other:
                assert leases.finish_job(other, claim, [file], None, {})
            return answer

        monkeypatch.setattr(orphans.queries, "unfinished", ends_behind_it)
        assert found(store, blobs) == set()
        monkeypatch.undo()
        assert found(store, blobs) == set()

    def test_leaves_what_an_import_writes(self, store: Store, blobs: Blobs, source: Path) -> None:
        with store.write() as session:
            dataset_id = add_dataset(session, DatasetState.VALIDATING, upload_key="uploads/a", epoch=1)
        blobs.put_file(prepared_key(dataset_id, 1), source)
        assert found(store, blobs) == set()

    def test_leaves_an_archive_whose_row_is_not_committed(self, store: Store, blobs: Blobs, tmp_path: Path) -> None:
        """Of a resumable upload that was complete long ago: in a folder its blob is a link to it."""
        path = tmp_path / "archive"
        path.write_bytes(b"zip")
        long_ago = time.time() - 10 * 86_400
        os.utime(path, (long_ago, long_ago))
        seen: list[set[str]] = []

        def revalidate() -> None:
            """Called by `create` when the blob is stored and no row names it."""
            seen.append(found(store, blobs, orphans.safe_age(Settings())))

        caller, upload = Caller("default", "local"), Upload(path, "a.zip", 3, "0" * 64)
        with store.write() as session:
            created = datasets.create(session, blobs, Quotas(), caller, upload, revalidate)
            key = created.upload_key
        assert seen == [set()]
        assert key is not None and blobs.exists(key)
        assert found(store, blobs) == set()


class TestSafeAge:
    def test_is_longer_than_any_request(self) -> None:
        assert orphans.safe_age(Settings()) == timedelta(days=1)
        assert orphans.safe_age(Settings(request_hours=100)) == timedelta(hours=200)
