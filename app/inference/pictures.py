"""An uploaded image on its way to a student: decoded in a process that may die of it."""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import numpy as np
import numpy.typing as npt

from app import isolation
from app.domain.errors import UnusableImage
from app.domain.manifest import Preprocessing
from app.inference.decoder import TAKEN
from app.ingest.decoders import CPU_SECONDS, DIED

Square = npt.NDArray[np.uint8]

_DECODER = "app.inference.decoder"
_LONGEST_PROBLEM = 4096
"""Bytes. Ours are sentences."""
_ANSWER_SECONDS = 300.0
"""It has its own limit, of computing time; this is for one that an image has taken over and that is silent."""


class Pictures:
    """Processes that decode, started when they are first needed; each does one image at a time."""

    def __init__(
        self, max_pixels: int, at_once: int, cpu_seconds: float = CPU_SECONDS, *, confine: bool = True
    ) -> None:
        """
        Args:
            cpu_seconds: of one image. It should end before the client is told that there is no answer, so that it is
                told why.
            confine: let the processes reach no network and no other process.
        """
        command = [sys.executable, "-m", _DECODER, str(max_pixels), str(cpu_seconds), str(os.getpid())]
        self._command = isolation.confined(command) if confine else command
        self._closed = False
        # the last one used is taken first: a second one starts only where two are needed
        self._idle: queue.LifoQueue[_Decoder | None] = queue.LifoQueue()
        for _ in range(at_once):
            self._idle.put(None)

    def close(self) -> None:
        """What is at work ends with its image."""
        self._closed = True
        with suppress(queue.Empty):
            while True:
                decoder = self._idle.get_nowait()
                if decoder is not None:
                    decoder.close()

    def square(self, data: bytes, preprocessing: Preprocessing) -> Square:
        """uint8 [S, S, 3], as the student was trained to see it.

        Raises:
            UnusableImage: with the reason, as the import would give it.
        """
        found = self._square(data, preprocessing)
        if isinstance(found, np.ndarray):
            return found
        raise UnusableImage(
            f"The image cannot be used: {DIED if found is None else found}.",
            hint="Send one JPEG, PNG or WebP picture, as it was taken.",
            param="file",
        )

    def _square(self, data: bytes, preprocessing: Preprocessing) -> Square | str | None:
        for _ in range(2):
            with self._taken() as decoder, suppress(_NotTaken):
                return decoder.square(data, preprocessing)
        return None

    @contextmanager
    def _taken(self) -> Iterator["_Decoder"]:
        decoder = self._idle.get()
        try:
            if decoder is None or not decoder.runs:
                decoder = _Decoder(self._command)
            yield decoder
        finally:
            if self._closed and decoder is not None:
                decoder.close()
            self._idle.put(decoder)


class _NotTaken(Exception):
    """The process had ended, for whatever reason, before it read the image: that is not the image's doing."""


class _Decoder:
    """One process. Of its answers nothing is believed but pixels: it may be an image that speaks."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=isolation.environment(),
            start_new_session=True,
        )

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def square(self, data: bytes, preprocessing: Preprocessing) -> Square | str | None:
        """What the student sees of a file; the reason where it is no usable image; None where the process died of it.

        Raises:
            _NotTaken: ask another one.
        """
        overdue = threading.Timer(_ANSWER_SECONDS, self._process.kill)
        overdue.daemon = True
        overdue.start()
        try:
            return self._ask(data, preprocessing)
        except (OSError, ValueError, KeyError, TypeError):
            self.close()
            return None
        finally:
            overdue.cancel()

    def close(self) -> None:
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with suppress(OSError):  # what was still to be written
                stream.close()
        self._process.wait()

    def _ask(self, data: bytes, preprocessing: Preprocessing) -> Square | str:
        assert self._process.stdin is not None and self._process.stdout is not None
        asked = {"bytes": len(data), "preprocessing": preprocessing.model_dump(mode="json")}
        try:
            self._process.stdin.write(json.dumps(asked).encode() + b"\n" + data)
            self._process.stdin.flush()
        except BrokenPipeError:
            self.close()
            raise _NotTaken from None
        if self._process.stdout.readline(len(TAKEN)) != TAKEN:
            self.close()
            raise _NotTaken
        answer = json.loads(self._process.stdout.readline(_LONGEST_PROBLEM))
        if (problem := answer["problem"]) is not None:
            return str(problem)
        side = preprocessing.center_crop
        pixels = self._process.stdout.read(side * side * 3)
        return np.frombuffer(pixels, np.uint8).reshape(side, side, 3)  # a ValueError where some are missing
