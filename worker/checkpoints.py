"""Copy a job's checkpoints between hosts: the output folder of the training command as one tar in the storage.

The folder can be copied while the command writes into it: each of its files is replaced as a whole, and the command
itself passes over a checkpoint that is not what its checksum says. The tar lies in a gzip frame, stored and not
compressed (weights hardly shrink), for the frame's own checksum.
"""

import gzip
import logging
import shutil
import tarfile
import zlib
from contextlib import suppress
from pathlib import Path

from app.db.queries.jobs import is_kept_checkpoint
from app.domain.failpoints import failpoint
from app.domain.previews import PREVIEW_FOLDER
from app.services.leases import JobClaim, keep_checkpoint
from app.storage.blobs import Blobs
from app.storage.keys import checkpoint_key
from worker.lease import Lease, LeaseLost

_ATTEMPT = "attempt"
"""The file beside the output folder that says which attempt wrote it last."""
_PIECE_BYTES = 2**20

log = logging.getLogger(__name__)


def restore(blobs: Blobs, claim: JobClaim, folder: Path) -> bool:
    """Fill `folder`/out with the newest state of the job: what lies there, or what another host has stored.

    Returns False where a stored one is missing or damaged. That costs time, not the job: it goes on from what lies
    there, or starts anew.
    """
    out, marker = folder / "out", folder / _ATTEMPT
    here = int(marker.read_text()) if marker.is_file() and out.is_dir() else None
    whole = True
    if claim.checkpoint_key is not None and (here is None or here < claim.checkpoint_epoch):
        archive, brought = folder / "checkpoint.tar", folder / "brought"
        archive.unlink(missing_ok=True)  # see pack()
        try:
            blobs.fetch(claim.checkpoint_key, archive)
            unpack(archive, brought)
            shutil.rmtree(out, ignore_errors=True)
            brought.rename(out)
            log.info("continues from the checkpoint of attempt %d", claim.checkpoint_epoch)
        except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
            log.warning("the stored checkpoint cannot be read: %s", error)
            whole = False
        finally:
            archive.unlink(missing_ok=True)
            shutil.rmtree(brought, ignore_errors=True)
    marker.write_text(str(claim.epoch))
    return whole


class Copies:
    """The copies of one attempt's checkpoints in the storage."""

    def __init__(self, blobs: Blobs, lease: Lease, claim: JobClaim) -> None:
        self._blobs, self._lease, self._claim = blobs, lease, claim
        self._stored = claim.checkpoint_key
        """Where the newest copy lies."""
        self._held: frozenset[tuple[str, int]] = frozenset()
        """The checkpoints of this attempt that it holds."""

    def keep(self, folder: Path) -> None:
        """Copy `folder`/out if it holds a new checkpoint. Without a copy the next attempt repeats more, that is all.

        Raises:
            LeaseLost: the claim is over.
        """
        archive, key = folder / "checkpoint.tar", checkpoint_key(self._claim.id, self._claim.epoch)
        try:
            found = contents(folder / "out")
            if not found - self._held:  # fewer of them are no news: somebody may be deleting the folder
                return
            pack(folder / "out", archive)
            self._blobs.put_file(key, archive)
            failpoint("checkpoint_copied")
        except Exception:
            log.exception("the checkpoint stays on this host")
            return
        finally:
            archive.unlink(missing_ok=True)
        if not self._lease.write(lambda session: keep_checkpoint(session, self._claim, key)):
            # an earlier copy of this attempt may be what the next one, or a retried job, goes on from
            if not self._lease.write(lambda session: is_kept_checkpoint(session, key)):
                self._delete(key)
            raise LeaseLost("it was taken over or has ended")
        before, self._stored, self._held = self._stored, key, found
        if before is not None and before != key:  # an earlier attempt's, or that of the job which this one tries again
            self._delete(before)

    def _delete(self, key: str) -> None:
        try:
            self._blobs.delete(key)
        except Exception:
            log.exception("what lies at %s is still there", key)


def contents(out: Path) -> frozenset[tuple[str, int]]:
    """The checkpoints in an output folder, as names and file times: another value means that there is a newer one.

    No order of time is meant: a clock may have been set back, and a file may come from a host whose clock is ahead.
    """
    found = set()
    for path in _files(out):
        if path.suffix in {".ckpt", ".safetensors"}:
            with suppress(FileNotFoundError):  # dropped in this moment
                found.add((str(path.relative_to(out)), path.stat().st_mtime_ns))
    return frozenset(found)


def unpack(archive: Path, folder: Path) -> None:
    """
    Raises:
        OSError, EOFError, tarfile.TarError, zlib.error: if it is not what `pack` has written.
    """
    with gzip.open(archive) as stream, tarfile.open(fileobj=stream) as tar:
        tar.extractall(folder, filter="data")
        while stream.read(_PIECE_BYTES):  # to the end, where the checksum stands
            pass


def pack(out: Path, archive: Path) -> None:
    """Write the output folder's whole files into a tar with a checksum."""
    archive.unlink(missing_ok=True)  # what an attempt that was killed has left may be the stored copy itself
    with tarfile.open(archive, "w:gz", compresslevel=0) as tar:
        for path in _files(out):
            try:
                tar.add(path, str(path.relative_to(out)), recursive=False)
            except FileNotFoundError:  # an older checkpoint that was dropped in this moment
                continue


def _files(out: Path) -> list[Path]:
    previews = out / PREVIEW_FOLDER
    return sorted(
        path
        for path in out.rglob("*")
        if path.is_file() and not path.name.startswith(".") and not path.is_relative_to(previews)
    )
