"""Exported students, loaded: verified, few at a time, the ones used last.

B batch (1), K classes, S side in pixels.
"""

import json
import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from app.domain.errors import FileLost
from app.domain.manifest import Manifest, Preprocessing
from app.domain.previews import PREVIEW_NOTE, PreviewMark
from app.storage.blobs import Blobs
from app.storage.published import HINT, StoredFile, read_whole

THREADS = 1
"""Of one prediction. An image takes a small student milliseconds on one core; more cores serve more predictions, of
which TDMR_PREDICT_AT_ONCE run, and so no more threads than that compute."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Exported:
    """What is needed of a student to run it."""

    network: StoredFile
    """student.onnx"""
    manifest: StoredFile | None
    """None for a preview, whose own metadata say how an image is prepared."""


@dataclass(frozen=True, slots=True)
class LoadedStudent:
    """Ready to be asked, by several threads at once."""

    classes: Sequence[str]
    preprocessing: Preprocessing
    bytes: int
    """Of its file."""
    _session: Any
    mark: PreviewMark | None = None
    """What a preview says of itself."""

    def logits(self, square: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], float]:
        """Of one image [S, S, 3], cut to size: float32 [K], and the seconds that the network took."""
        images = _normalised(square, self.preprocessing)
        given = self._session.get_inputs()[0].name
        began = time.perf_counter()
        logits_BK = self._session.run(None, {given: images})[0]
        return logits_BK[0], time.perf_counter() - began


class LoadedStudents:
    """Keeps those used last, as long as their files together have no more bytes than allowed. One that has more
    alone is loaded for each image anew."""

    def __init__(self, blobs: Blobs, max_bytes: int) -> None:
        self._blobs = blobs
        self._kept: LRUCache[Exported, LoadedStudent] = LRUCache(max_bytes, getsizeof=lambda student: student.bytes)
        self._loading: dict[Exported, Future[LoadedStudent]] = {}
        self._guard = threading.Lock()

    def get(self, exported: Exported) -> LoadedStudent:
        """Several threads that want the same one wait for the first, which loads it.

        Raises:
            FileLost: if the storage no longer has its files, or has others than were published.
            StoreUnavailable: if the storage is away.
        """
        with self._guard:
            kept = self._kept.get(exported)
            if kept is not None:
                return kept
            coming = self._loading.get(exported)
            if coming is None:
                ours = self._loading[exported] = Future[LoadedStudent]()
        if coming is not None:
            return coming.result()
        try:
            loaded = _load(self._blobs, exported)
        except BaseException as error:
            with self._guard:
                del self._loading[exported]
            ours.set_exception(error)
            raise
        with self._guard:
            del self._loading[exported]
            if loaded.bytes <= self._kept.maxsize:
                self._kept[exported] = loaded
        ours.set_result(loaded)
        return loaded

    @property
    def kept_bytes(self) -> int:
        with self._guard:
            return int(self._kept.currsize)


def _load(blobs: Blobs, exported: Exported) -> LoadedStudent:
    # half a second and 50 MB, for a service of which nobody may ever ask a prediction
    import onnxruntime  # noqa: PLC0415

    manifest = _manifest(blobs, exported.manifest) if exported.manifest is not None else None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = THREADS
    options.enable_cpu_mem_arena = False  # it would keep each student's largest activations
    options.log_severity_level = 3  # errors
    network = read_whole(blobs, exported.network)
    session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    if manifest is not None:
        assert manifest.preprocessing is not None
        return LoadedStudent(manifest.classes, manifest.preprocessing, exported.network.bytes, session)
    notes = session.get_modelmeta().custom_metadata_map
    try:
        classes, how = json.loads(notes["classes"]), Preprocessing.model_validate_json(notes["preprocessing"])
        mark = PreviewMark.model_validate_json(notes[PREVIEW_NOTE])
    except (KeyError, ValueError) as error:  # a ValidationError is one
        log.error("%s does not say what it is", exported.network.key)
        raise FileLost("The preview does not say how it is to be used.", hint=HINT) from error
    return LoadedStudent(tuple(classes), how, exported.network.bytes, session, mark)


def _manifest(blobs: Blobs, file: StoredFile) -> Manifest:
    try:
        manifest = Manifest.model_validate_json(read_whole(blobs, file))
        if manifest.preprocessing is None:
            raise ValueError("a manifest of several students")
    except ValueError as error:  # a ValidationError is one
        log.error("%s is no manifest of one student", file.key)
        raise FileLost("The student's manifest cannot be read.", hint=HINT) from error
    return manifest


def _normalised(square: npt.NDArray[np.uint8], preprocessing: Preprocessing) -> npt.NDArray[np.float32]:
    """[1, 3, S, S], in the steps and the rounding of the training."""
    channels = square[np.newaxis].astype(np.float32)
    channels *= np.float32(preprocessing.scale)
    channels -= np.asarray(preprocessing.mean, np.float32)
    channels /= np.asarray(preprocessing.std, np.float32)
    return np.ascontiguousarray(channels.transpose(0, 3, 1, 2))
