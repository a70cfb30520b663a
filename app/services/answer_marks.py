"""Which images a student got right, from its file of answers: read once, and remembered by what it was read from."""

import hashlib
import io
import threading
from dataclasses import dataclass

from cachetools import LRUCache

from app.domain.answers import NoAnswers, read_answers
from app.domain.errors import FileLost, ReportsBusy
from app.storage.blobs import Blobs
from app.storage.published import HINT, StoredFile, read_whole

MAX_BYTES = 64 * 2**20
"""A larger file is none of ours."""
KEPT = 1_000
"""Students; 100,000 images take 13 kB each."""
AT_ONCE = 4
"""Comparisons at work in one process; each reads files that may have 15 MB."""


@dataclass(frozen=True, slots=True)
class Marks:
    """A student's answers, marked."""

    count: int
    images_digest: str
    """Equal for equal images in the same order, which is that of their hashes."""
    labels_digest: str
    """Equal for equal labels of those."""
    right: int
    """A bit for each image, set where the answer is its label."""


class AnswerMarks:
    """One for each API process."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._kept: LRUCache[StoredFile, Marks] = LRUCache(KEPT)
        self._guard = threading.Lock()
        self.places = threading.BoundedSemaphore(AT_ONCE)

    def get(self, file: StoredFile) -> Marks:
        """
        Raises:
            FileLost: if the storage no longer has the file as it was published.
            StoreUnavailable: if the storage is away.
        """
        with self._guard:
            kept = self._kept.get(file)
        if kept is not None:
            return kept
        marks = _marked(self._blobs, file)
        with self._guard:
            self._kept[file] = marks
        return marks


def busy() -> ReportsBusy:
    return ReportsBusy("Too many comparisons are being made.", hint="Try again in a few seconds.")


def _marked(blobs: Blobs, file: StoredFile) -> Marks:
    if file.bytes > MAX_BYTES:
        raise FileLost("The file of answers cannot be read.", hint=HINT)
    text = io.TextIOWrapper(io.BytesIO(read_whole(blobs, file)), encoding="utf-8", newline="")
    images, labels, right = hashlib.sha256(), hashlib.sha256(), bytearray()
    try:
        for row in read_answers(text):
            said = row.student or row.probe
            images.update(row.image.encode() + b"\n")
            labels.update(row.label.encode() + b"\n")
            right += b"1" if said is not None and said.answer == row.label else b"0"
    except NoAnswers as error:
        raise FileLost("The file of answers cannot be read.", hint=HINT) from error
    return Marks(len(right), images.hexdigest(), labels.hexdigest(), int(bytes(right or b"0"), 2))
