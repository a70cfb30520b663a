"""Local folders: filled once, shared by readers, never taken from who holds them."""

import fcntl
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from app.domain.dataset import DatasetIndex
from app.ingest import import_archive
from app.settings import Settings
from app.storage.blobs import Blobs
from worker.scratch import (
    KEPT_DATASETS,
    FolderBusy,
    dataset_folder,
    download_folder,
    forget_dataset,
    job_folder,
    lock_folder,
    remove,
    sweep_downloads,
    sweep_jobs,
)


class TestLockFolder:
    def test_refuses_a_second_holder(self, tmp_path: Path) -> None:
        with (
            lock_folder(tmp_path / "a", fcntl.LOCK_EX),
            pytest.raises(FolderBusy),
            lock_folder(tmp_path / "a", fcntl.LOCK_EX),
        ):
            pass

    def test_is_shared_by_readers_and_keeps_writers_out(self, tmp_path: Path) -> None:
        with (
            lock_folder(tmp_path / "a", fcntl.LOCK_SH),
            lock_folder(tmp_path / "a", fcntl.LOCK_SH),
            pytest.raises(FolderBusy),
            lock_folder(tmp_path / "a", fcntl.LOCK_EX),
        ):
            pass

    def test_is_free_again_after_its_holder_removed_it(self, tmp_path: Path) -> None:
        with lock_folder(tmp_path / "a", fcntl.LOCK_EX):
            remove(tmp_path / "a")
            with lock_folder(tmp_path / "a", fcntl.LOCK_EX):
                assert (tmp_path / "a").is_dir()

    def test_ends_with_its_process(self, tmp_path: Path) -> None:
        if os.fork() == 0:
            lock = lock_folder(tmp_path / "a", fcntl.LOCK_EX)
            lock.__enter__()
            os._exit(0)
        os.wait()

        with lock_folder(tmp_path / "a", fcntl.LOCK_EX):
            pass


class TestJobFolder:
    def test_is_the_same_for_the_next_attempt(self, settings: Settings) -> None:
        with job_folder(settings, "job_1", epoch=1) as first:
            (first / "checkpoint").touch()
        with job_folder(settings, "job_1", epoch=2) as second:
            assert (second / "checkpoint").exists()

    def test_is_another_while_a_former_attempt_still_sits_there(self, settings: Settings) -> None:
        with job_folder(settings, "job_1", epoch=1) as first, job_folder(settings, "job_1", epoch=2) as second:
            assert first != second


class TestSweepJobs:
    def test_removes_folders_of_jobs_that_are_over_and_nobody_holds(self, settings: Settings) -> None:
        for name in ("job_over", "job_over-e2", "job_on", "job_held"):
            (settings.scratch / "jobs" / name).mkdir(parents=True)

        with job_folder(settings, "job_held", epoch=1):
            sweep_jobs(settings, lambda job_id: job_id in {"job_over", "job_held"})

        assert {path.name for path in (settings.scratch / "jobs").iterdir()} == {"job_on", "job_held"}

    def test_bears_that_there_is_no_scratch_yet(self, settings: Settings) -> None:
        sweep_jobs(settings, lambda job_id: True)


class TestDownloadFolder:
    def test_is_the_former_attempt_s_unless_a_zombie_sits_in_it(self, settings: Settings) -> None:
        with download_folder(settings, "ds_1", epoch=1) as first:
            (first / "archive").write_bytes(b"half")
            with download_folder(settings, "ds_1", epoch=2) as second:
                assert second != first
        with download_folder(settings, "ds_1", epoch=3) as third:
            assert (third / "archive").read_bytes() == b"half"

    def test_goes_once_its_import_is_over(self, settings: Settings) -> None:
        for name in ("ds_over", "ds_over-e2", "ds_waits", "ds_held"):
            (settings.scratch / "downloads" / name).mkdir(parents=True)
        with download_folder(settings, "ds_held", epoch=1):
            sweep_downloads(settings, lambda dataset_id: dataset_id in {"ds_over", "ds_held"})
        assert {path.name for path in (settings.scratch / "downloads").iterdir()} == {"ds_waits", "ds_held"}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared data set of four small images."""
    folder = tmp_path_factory.mktemp("prepared")
    for i in range(4):
        path = folder / "archive" / str(i % 2) / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (60 * i, 0, 0)).save(path)
    archive = Path(shutil.make_archive(str(folder / "images"), "zip", folder / "archive"))
    assert import_archive(archive, folder / "out").report is not None
    return folder / "out" / "prepared.zip"


class TestDatasetFolder:
    @pytest.fixture
    def blobs(self, settings: Settings, prepared: Path) -> Blobs:
        blobs = Blobs(settings.storage)
        for i in range(KEPT_DATASETS + 2):
            blobs.put_file(f"datasets/{i}.zip", prepared)
        return blobs

    @staticmethod
    def kept(settings: Settings) -> int:
        return sum((path / "data").is_dir() for path in (settings.scratch / "datasets").iterdir())

    def test_is_fetched_once(self, settings: Settings, blobs: Blobs) -> None:
        for _ in range(2):
            with dataset_folder(settings, blobs, "datasets/0.zip", lambda: None) as data:
                assert len(DatasetIndex.model_validate_json((data / "index.json").read_bytes()).samples) == 4
            blobs.delete("datasets/0.zip")

    def test_is_fetched_again_once_it_is_forgotten_unless_somebody_uses_it(
        self, settings: Settings, blobs: Blobs
    ) -> None:
        with dataset_folder(settings, blobs, "datasets/0.zip", lambda: None) as data:
            (data / "index.json").unlink()
            forget_dataset(settings, "datasets/0.zip")
            assert data.is_dir()

        forget_dataset(settings, "datasets/0.zip")

        with dataset_folder(settings, blobs, "datasets/0.zip", lambda: None) as data:
            assert (data / "index.json").is_file()

    def test_may_be_used_by_several_jobs(self, settings: Settings, blobs: Blobs) -> None:
        with (
            dataset_folder(settings, blobs, "datasets/0.zip", lambda: None) as one,
            dataset_folder(settings, blobs, "datasets/0.zip", lambda: None) as other,
        ):
            assert one == other

    def test_leaves_only_the_last_few(self, settings: Settings, blobs: Blobs) -> None:
        for i in range(KEPT_DATASETS + 2):
            with dataset_folder(settings, blobs, f"datasets/{i}.zip", lambda: None):
                pass

        assert self.kept(settings) == KEPT_DATASETS

    def test_is_never_dropped_while_in_use(self, settings: Settings, blobs: Blobs) -> None:
        with dataset_folder(settings, blobs, "datasets/0.zip", lambda: None) as data:
            for i in range(1, KEPT_DATASETS + 2):
                with dataset_folder(settings, blobs, f"datasets/{i}.zip", lambda: None):
                    pass
            assert (data / "index.json").is_file()

    def test_is_not_there_by_halves_when_the_lease_ends_in_between(self, settings: Settings, blobs: Blobs) -> None:
        class LeaseOver(Exception):
            pass

        def check() -> None:
            if list((settings.scratch).rglob("prepared.zip")):  # downloaded, not unpacked
                raise LeaseOver

        with pytest.raises(LeaseOver), dataset_folder(settings, blobs, "datasets/0.zip", check):
            pass

        assert self.kept(settings) == 0
        assert list(settings.scratch.rglob("*.zip")) == []
