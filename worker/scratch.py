"""The worker's local folder: unpacked data sets, kept for the next job, and a folder for each running job.

Several workers of one host may share it. A worker locks each folder that it uses (`flock` on the folder itself; the
kernel releases it when the holder dies), so no folder is removed while in use or written by two.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from app.ingest import unpack_prepared
from app.settings import Settings
from app.storage.blobs import Blobs
from app.storage.published import fetch

KEPT_DATASETS = 4
"""Unpacked data sets that stay on disk, the one in use included."""
_POLL_SECONDS = 0.2


class FolderBusy(Exception):
    """Another process holds the folder."""


@contextmanager
def dataset_folder(settings: Settings, blobs: Blobs, prepared_key: str, check: Callable[[], None]) -> Iterator[Path]:
    """The unpacked data set, downloaded once for all jobs on this host. `check` may end the wait by raising."""
    folder = _dataset(settings, prepared_key)
    data = folder / "data"
    while True:
        with _lock_patiently(folder, fcntl.LOCK_SH, check):
            if data.is_dir():
                os.utime(folder)
                yield data
                return
        with _lock_patiently(folder, fcntl.LOCK_EX, check):
            if not data.is_dir():
                _drop_oldest(_datasets(settings), keep=KEPT_DATASETS - 1)
                _fetch(blobs, prepared_key, folder, data, check)


def forget_dataset(settings: Settings, prepared_key: str) -> None:
    """Files of the unpacked data set may be missing: it is downloaded again, unless other jobs still use it."""
    folder = _dataset(settings, prepared_key)
    with contextlib.suppress(FolderBusy), lock_folder(folder, fcntl.LOCK_EX):
        remove(folder)


@contextmanager
def job_folder(settings: Settings, job_id: str, epoch: int) -> Iterator[Path]:
    """A folder for one attempt. It is the former attempt's, to go on from, unless a zombie still sits in that."""
    with _folder_to_go_on(settings.scratch / "jobs", job_id, epoch) as folder:
        yield folder


@contextmanager
def import_folder(settings: Settings, dataset_id: str, epoch: int) -> Iterator[Path]:
    """A folder for one attempt at an import, gone afterwards."""
    with _passing_folder(settings.scratch / "imports" / f"{dataset_id}-e{epoch}") as folder:
        yield folder


@contextmanager
def tracking_folder(settings: Settings, job_id: str, epoch: int) -> Iterator[Path]:
    """A folder for one attempt at logging a job, gone afterwards."""
    with _passing_folder(settings.scratch / "trackings" / f"{job_id}-e{epoch}") as folder:
        yield folder


@contextmanager
def download_folder(settings: Settings, dataset_id: str, epoch: int) -> Iterator[Path]:
    """A folder for an archive that is fetched. It is the former attempt's, to go on from, unless a zombie still sits in
    that; and stays until the data set's import is over."""
    with _folder_to_go_on(settings.scratch / "downloads", dataset_id, epoch) as folder:
        yield folder


@contextmanager
def images_folder(settings: Settings, dataset_id: str, epoch: int) -> Iterator[Path]:
    """As `download_folder`, for the images that a table names."""
    with _folder_to_go_on(settings.scratch / "images", dataset_id, epoch) as folder:
        yield folder


def sweep_jobs(settings: Settings, is_over: Callable[[str], bool]) -> None:
    """Remove the folders of jobs that have ended elsewhere; `is_over` takes a job's id."""
    for folder in _folders(settings.scratch / "jobs"):
        if is_over(folder.name.partition("-")[0]):
            with contextlib.suppress(FolderBusy), lock_folder(folder, fcntl.LOCK_EX):
                remove(folder)


def sweep_downloads(settings: Settings, is_over: Callable[[str], bool]) -> None:
    """Remove what was fetched for imports that need it no more; `is_over` takes a data set's id."""
    for folder in (*_folders(settings.scratch / "downloads"), *_folders(settings.scratch / "images")):
        if is_over(folder.name.partition("-")[0]):
            with contextlib.suppress(FolderBusy), lock_folder(folder, fcntl.LOCK_EX):
                remove(folder)


def sweep_attempts(settings: Settings) -> None:
    """Remove what attempts that died have left of imports and trackings: their folders are the ones without a lock."""
    for folder in (*_folders(settings.scratch / "imports"), *_folders(settings.scratch / "trackings")):
        with contextlib.suppress(FolderBusy), lock_folder(folder, fcntl.LOCK_EX):
            remove(folder)


def remove(folder: Path) -> None:
    """Delete a folder that we hold."""
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def lock_folder(folder: Path, kind: int) -> Iterator[None]:
    """Hold `folder`, made if need be, shared (LOCK_SH) or alone (LOCK_EX).

    Raises:
        FolderBusy: another process holds it.
    """
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FolderBusy(folder.name) from None
            if _is_still(folder, descriptor):
                yield
                return
        finally:
            os.close(descriptor)


@contextmanager
def _folder_to_go_on(parent: Path, name: str, epoch: int) -> Iterator[Path]:
    with contextlib.ExitStack() as stack:
        folder = parent / name
        try:
            stack.enter_context(lock_folder(folder, fcntl.LOCK_EX))
        except FolderBusy:
            folder = parent / f"{name}-e{epoch}"
            stack.enter_context(lock_folder(folder, fcntl.LOCK_EX))
        yield folder


@contextmanager
def _passing_folder(folder: Path) -> Iterator[Path]:
    with lock_folder(folder, fcntl.LOCK_EX):
        try:
            yield folder
        finally:
            remove(folder)


@contextmanager
def _lock_patiently(folder: Path, kind: int, check: Callable[[], None]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        while True:
            check()
            with contextlib.suppress(FolderBusy):
                stack.enter_context(lock_folder(folder, kind))
                break
            time.sleep(_POLL_SECONDS)
        yield


def _is_still(folder: Path, descriptor: int) -> bool:
    """Whether the name still means what we have opened: it may have been removed in between."""
    try:
        return os.path.samestat(folder.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _fetch(blobs: Blobs, key: str, folder: Path, data: Path, check: Callable[[], None]) -> None:
    archive = folder / "prepared.zip"
    try:
        fetch(blobs, key, archive, what="the prepared data set", hint="Upload the data set again.")
        check()
        unpack_prepared(archive, data)
    finally:
        archive.unlink(missing_ok=True)


def _drop_oldest(datasets: Path, keep: int) -> None:
    # ours is empty yet, so it does not count
    filled = [folder for folder in _folders(datasets) if (folder / "data").is_dir()]
    oldest_last = sorted(filled, key=lambda folder: folder.stat().st_mtime, reverse=True)
    for folder in oldest_last[keep:]:
        with contextlib.suppress(FolderBusy), lock_folder(folder, fcntl.LOCK_EX):
            remove(folder)


def _dataset(settings: Settings, prepared_key: str) -> Path:
    # a key is written once, so it names the content
    return _datasets(settings) / hashlib.sha256(prepared_key.encode()).hexdigest()[:32]


def _datasets(settings: Settings) -> Path:
    return settings.scratch / "datasets"


def _folders(parent: Path) -> list[Path]:
    return [path for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []
