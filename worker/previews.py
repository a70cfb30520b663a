"""Copy the students of the moment to the storage, where every API process finds them."""

import logging
import time
from pathlib import Path

from app.domain.previews import PREVIEW_ONNX, PreviewLine, wanted_name
from app.services import leases
from app.services.leases import JobClaim
from app.storage.blobs import Blobs
from app.storage.keys import student_preview_key
from app.storage.published import StoredFile
from worker.lease import Lease

COPY_SECONDS = 30.0
"""Weights are copied this often at most; what was asked for is copied at once."""
ASK_SECONDS = 60.0
"""Asked again after this long, where a file was made and could not be copied."""

log = logging.getLogger(__name__)


class PreviewCopies:
    """Of one attempt. What cannot be copied costs a preview, never the job."""

    def __init__(self, blobs: Blobs, lease: Lease, claim: JobClaim) -> None:
        self._blobs, self._lease, self._claim = blobs, lease, claim
        self.out: Path | None = None
        """The child's output folder."""
        self._waiting: dict[str, PreviewLine] = {}
        """The newest weights by student, that are not copied yet."""
        self._next_copy = 0.0
        self._asked: str | None = None
        """The student whose ONNX file the child has been asked for."""
        self._ask_again = 0.0

    def hear(self, line: PreviewLine) -> None:
        """The child has written a preview, or could not."""
        if line.name != PREVIEW_ONNX:
            self._waiting[line.mark.student] = line
            return
        self._copy(line)

    def between_lines(self) -> None:
        """Pass on what somebody asks for, and copy what has waited."""
        wanted = self._lease.preview_wanted
        if wanted is None:
            self._asked = None
        elif (wanted != self._asked or time.monotonic() > self._ask_again) and self.out and self.out.is_dir():
            (self.out / wanted_name(wanted)).touch()
            self._asked, self._ask_again = wanted, time.monotonic() + ASK_SECONDS
        if self._waiting and time.monotonic() > self._next_copy:
            lines, self._waiting = list(self._waiting.values()), {}
            for line in lines:
                self._copy(line)
            self._next_copy = time.monotonic() + COPY_SECONDS

    def _copy(self, line: PreviewLine) -> None:
        claim, mark = self._claim, line.mark
        if line.file is None:
            if line.name == PREVIEW_ONNX:  # nobody need wait for it
                self._lease.write(lambda session: leases.drop_preview_wish(session, claim))
            return
        assert self.out is not None
        key = student_preview_key(claim.id, claim.epoch, mark.student, mark.step, line.name)
        try:
            self._blobs.put_file(key, self.out / line.file.name)
        except Exception:
            log.warning("a preview stays on this host", exc_info=True)
            return
        stored = StoredFile(key, line.file.bytes, line.file.sha256)
        unnamed = self._lease.write(lambda session: leases.keep_preview(session, claim, mark, line.name, stored))
        if unnamed is not None:
            try:
                self._blobs.delete(unnamed)
            except Exception:
                log.exception("what lies at %s is still there", unnamed)
