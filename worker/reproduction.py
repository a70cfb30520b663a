"""Whether a job that repeats another one came to the same students."""

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from app.db.models import Artifact
from app.domain.manifest import ArtifactFile
from app.domain.reproduction import Reproduction
from app.storage.blobs import Blobs

WEIGHTS_SUFFIX = ".safetensors"
_METADATA = "__metadata__"
_CHUNK_BYTES = 2**20


def compare(
    blobs: Blobs,
    original: Sequence[Artifact],
    original_metrics: Mapping[str, float],
    out: Path,
    files: Sequence[ArtifactFile],
    metrics: Mapping[str, float],
) -> Reproduction:
    """What was published before, beside what lies in `out` now. An original whose files are gone tells nothing."""
    before = {file.name: file.storage_key for file in original if file.name.endswith(WEIGHTS_SUFFIX)}
    now = [file.name for file in files if file.name.endswith(WEIGHTS_SUFFIX)]
    return Reproduction(
        tensors_equal=_are_equal(blobs, before, out, now),
        accuracy_difference=_largest_difference(original_metrics, metrics),
    )


def tensors_sha256(file: BinaryIO) -> str:
    """Of the tensors of a safetensors file: names, types, shapes and values, without the metadata, which tell when and
    how well it was trained."""
    (header_bytes,) = struct.unpack("<Q", file.read(8))
    header = {name: entry for name, entry in json.loads(file.read(header_bytes)).items() if name != _METADATA}
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    while piece := file.read(_CHUNK_BYTES):
        digest.update(piece)
    return digest.hexdigest()


def _are_equal(blobs: Blobs, before: Mapping[str, str], out: Path, now: Sequence[str]) -> bool | None:
    if not now or set(before) != set(now):
        return None
    for name in now:
        try:
            with blobs.open(before[name]) as earlier:
                expected = tensors_sha256(earlier)
        except FileNotFoundError:
            return None
        with (out / name).open("rb") as file:
            if tensors_sha256(file) != expected:
                return False
    return True


def _largest_difference(before: Mapping[str, float], now: Mapping[str, float]) -> float | None:
    """Of a student's accuracy, or the probe's where no student is trained; the one that is furthest from 0."""
    for measured in ("student_accuracy", "probe_accuracy"):
        names = [name for name in now if name.rpartition("/")[2] == measured and name in before]
        if names:
            return max((now[name] - before[name] for name in names), key=abs)
    return None
