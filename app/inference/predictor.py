"""Predictions of a service: few at once, each in time, none on the event loop."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from app.domain.errors import PredictionsBusy, StoreUnavailable
from app.domain.manifest import Preprocessing
from app.domain.previews import PreviewMark
from app.inference.pictures import Pictures
from app.inference.students import Exported, LoadedStudents
from app.ingest.decoders import CPU_SECONDS
from app.storage.blobs import Blobs

WAITING = 8
"""For each prediction at work, so many may wait for their turn; as images take some ten milliseconds, they get one."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a student makes of an image."""

    probabilities: Sequence[tuple[str, float]]
    """Classes and the softmax of their logits, the most probable first."""
    preprocessing: Preprocessing
    """What was done to the image before."""
    latency_seconds: float
    """Of the network alone."""
    mark: PreviewMark | None = None
    """What the student is, where it is a preview."""


class Predictor:
    """One for each API process."""

    def __init__(
        self,
        blobs: Blobs,
        *,
        at_once: int,
        cache_bytes: int,
        max_pixels: int,
        cpu_seconds: float = CPU_SECONDS,
        confine: bool = True,
    ) -> None:
        """`cpu_seconds`: of decoding an image, less than its prediction has, so that a slow image is told from a slow
        storage."""
        self._students = LoadedStudents(blobs, cache_bytes)
        self._pictures = Pictures(max_pixels, at_once, cpu_seconds, confine=confine)
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="predict")
        self._places = threading.BoundedSemaphore(at_once * (1 + WAITING))

    def close(self) -> None:
        """What hangs in a storage is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._pictures.close()

    async def predict(self, exported: Exported, image: bytes, within_seconds: float) -> Prediction:
        """
        Args:
            image: a whole file.

        Raises:
            PredictionsBusy: if too many wait, or its turn does not come in time, or the machine has none for it.
            UnusableImage: if the file is no image, or is none that the import would take, or takes too long to decode.
            FileLost: if the storage no longer has the student's files as they were published.
            StoreUnavailable: if they do not come in time.
        """
        if not self._places.acquire(blocking=False):
            raise _busy()
        loaded = threading.Event()
        work: Future[Prediction] = self._threads.submit(self._predict, exported, image, loaded)
        # the place is free when the thread is, which may be long after we have given up waiting for it
        work.add_done_callback(lambda _: self._places.release())
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(work)), within_seconds)
        except TimeoutError:
            if work.cancel() or loaded.is_set():
                raise _busy() from None
            raise StoreUnavailable(
                "The student did not answer in time: its file may still be on the way.",
                hint="Try again in a few seconds; once loaded, it stays in memory for a while.",
            ) from None
        finally:
            work.cancel()  # the client has gone: what has not begun need not

    def _predict(self, exported: Exported, image: bytes, loaded: threading.Event) -> Prediction:
        student = self._students.get(exported)
        loaded.set()
        square = self._pictures.square(image, student.preprocessing)
        logits_K, seconds = student.logits(square)
        exponentials_K = np.exp(logits_K.astype(np.float64) - logits_K.max())
        probabilities_K = exponentials_K / exponentials_K.sum()
        order = np.argsort(-probabilities_K, kind="stable")
        ranked = [(student.classes[k], float(probabilities_K[k])) for k in order]
        return Prediction(ranked, student.preprocessing, seconds, student.mark)


def _busy() -> PredictionsBusy:
    return PredictionsBusy("Too many predictions are running and waiting.", hint="Try again in a few seconds.")
