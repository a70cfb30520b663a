"""An uploaded image on its way to a student: decoded in a process that may die of it."""

import queue
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

import numpy as np
import numpy.typing as npt

from app.domain.errors import UnusableImage
from app.domain.manifest import Preprocessing
from app.imaging import UnreadableImage, clean_square, open_rgb
from app.ingest.decoders import DIED, Decoders

Square = npt.NDArray[np.uint8]


class Pictures:
    """Processes that decode, started when they are first needed; each does one image at a time."""

    def __init__(self, max_pixels: int, at_once: int) -> None:
        self._max_pixels = max_pixels
        # the last one used is taken first: a second one starts only where two are needed
        self._idle: queue.LifoQueue[Decoders | None] = queue.LifoQueue()
        for _ in range(at_once):
            self._idle.put(None)

    def close(self) -> None:
        """What is at work ends with its image."""
        with suppress(queue.Empty):
            while True:
                decoders = self._idle.get_nowait()
                if decoders is not None:
                    decoders.close()

    def square(self, data: bytes, preprocessing: Preprocessing) -> Square:
        """uint8 [S, S, 3], as the student was trained to see it.

        Raises:
            UnusableImage: with the reason, as the import would give it.
        """
        with self._taken() as decoders:
            found = decoders.one(partial(prepare, preprocessing=preprocessing, max_pixels=self._max_pixels), data)
        if isinstance(found, np.ndarray):
            return found
        raise UnusableImage(
            f"The image cannot be used: {DIED if found is None else found}.",
            hint="Send one JPEG, PNG or WebP picture, as it was taken.",
            param="file",
        )

    @contextmanager
    def _taken(self) -> Iterator[Decoders]:
        decoders = self._idle.get() or Decoders(self._max_pixels, 1, threaded=True)
        try:
            yield decoders
        finally:
            self._idle.put(decoders)


def prepare(data: bytes, preprocessing: Preprocessing, max_pixels: int) -> Square | str:
    """What the student sees of a file; the reason where it is no usable image."""
    try:
        return clean_square(open_rgb(data, max_pixels), preprocessing)
    except UnreadableImage as error:
        return str(error)
