"""The worker's local folder: unpacked data sets, kept for the next job, and a folder for each running job.

Several workers of one host may share it. Who uses a folder holds a lock on it (`flock` on the folder itself, which the
kernel gives back when its holder dies), so nobody's folder is taken away or written by two.
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

KEPT_DATASETS = 4
"""Unpacked data sets that stay on disk, the one in use included."""
_POLL_SECONDS = 0.2


class FolderBusy(Exception):
    """Somebody else holds the folder."""


@contextmanager
def dataset_folder(settings: Settings, blobs: Blobs, prepared_key: str, check: Callable[[], None]) -> Iterator[Path]:
    """The unpacked data set, downloaded once for all jobs on this host. `check` may end the wait by raising."""
    # a key is written once, so it names the content
    folder = _datasets(settings) / hashlib.sha256(prepared_key.encode()).hexdigest()[:32]
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


@contextmanager
def job_folder(settings: Settings, job_id: str, epoch: int) -> Iterator[Path]:
    """A folder for one attempt. It is the former attempt's, to go on from, unless a zombie still sits in that."""
    jobs = settings.scratch / "jobs"
    with contextlib.ExitStack() as stack:
        folder = jobs / job_id
        try:
            stack.enter_context(lock_folder(folder, fcntl.LOCK_EX))
        except FolderBusy:
            folder = jobs / f"{job_id}-e{epoch}"
            stack.enter_context(lock_folder(folder, fcntl.LOCK_EX))
        yield folder


def sweep_jobs(settings: Settings, is_over: Callable[[str], bool]) -> None:
    """Remove the folders of jobs that have ended without us; `is_over(job_id)` knows."""
    for folder in _folders(settings.scratch / "jobs"):
        if is_over(folder.name.partition("-")[0]):
            with contextlib.suppress(FolderBusy), lock_folder(folder, fcntl.LOCK_EX):
                remove(folder)


def sweep_imports(settings: Settings) -> None:
    """Remove what imports that died have left: a folder that nobody holds is nobody's."""
    for folder in _folders(settings.scratch / "imports"):
        with contextlib.suppress(FolderBusy), lock_folder(folder, fcntl.LOCK_EX):
            remove(folder)


def remove(folder: Path) -> None:
    """Delete a folder that we hold."""
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def lock_folder(folder: Path, kind: int) -> Iterator[None]:
    """Hold `folder`, made if need be, shared (LOCK_SH) or alone (LOCK_EX).

    Raises:
        FolderBusy: somebody else does.
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
        blobs.fetch(key, archive)
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


def _datasets(settings: Settings) -> Path:
    return settings.scratch / "datasets"


def _folders(parent: Path) -> list[Path]:
    return [path for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []
