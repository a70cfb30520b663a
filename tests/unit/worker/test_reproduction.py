"""A rerun beside the job that it repeats: real safetensors files in a real storage."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from app.db.models import Artifact
from app.domain.manifest import ArtifactFile
from app.storage.blobs import Blobs
from worker.reproduction import compare

WEIGHTS = {"head.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "head.bias": np.zeros(2, np.float32)}


def changed(name: str) -> dict[str, np.ndarray]:
    """The last bit of one value is another."""
    weights = {key: value.copy() for key, value in WEIGHTS.items()}
    weights[name].view(np.uint8).reshape(-1)[0] ^= 1
    return weights


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs((tmp_path / "blobs").as_uri())


def published(blobs: Blobs, tmp_path: Path, students: Mapping[str, Mapping[str, np.ndarray]]) -> list[Artifact]:
    rows = []
    for name, weights in students.items():
        save_file(dict(weights), tmp_path / "file", metadata={"trained": "yesterday"})
        blobs.put_file(f"jobs/a/e1/{name}", tmp_path / "file")
        rows.append(Artifact(name=name, storage_key=f"jobs/a/e1/{name}"))
        (tmp_path / "file").unlink()
    return rows


def written(tmp_path: Path, students: Mapping[str, Mapping[str, np.ndarray]]) -> list[ArtifactFile]:
    files = []
    for name, weights in students.items():
        path = tmp_path / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(dict(weights), path, metadata={"trained": "today"})
        files.append(ArtifactFile(name=name, bytes=1, sha256="0" * 64, media_type="application/octet-stream"))
    return files


@pytest.mark.parametrize(
    ("now", "equal"),
    [
        ({"student.safetensors": WEIGHTS}, True),
        ({"student.safetensors": changed("head.bias")}, False),
        ({"student.safetensors": WEIGHTS | {"more": np.zeros(1, np.float32)}}, False),
        ({"student.safetensors": {key: value.reshape(-1) for key, value in WEIGHTS.items()}}, False),
        ({"other/student.safetensors": WEIGHTS}, None),
        ({}, None),
    ],
    ids=["same", "one bit", "one more", "another shape", "another student", "none"],
)
def test_weights_are_equal_bit_by_bit_whatever_the_metadata_say(
    blobs: Blobs, tmp_path: Path, now: Mapping[str, Mapping[str, np.ndarray]], equal: bool | None
) -> None:
    before = published(blobs, tmp_path, {"student.safetensors": WEIGHTS})
    told = compare(blobs, before, {}, tmp_path / "out", written(tmp_path, now), {})
    assert told.tensors_equal is equal


def test_files_that_are_gone_tell_nothing(blobs: Blobs, tmp_path: Path) -> None:
    before = published(blobs, tmp_path, {"student.safetensors": WEIGHTS})
    blobs.delete(before[0].storage_key)
    files = written(tmp_path, {"student.safetensors": WEIGHTS})
    assert compare(blobs, before, {}, tmp_path / "out", files, {}).tensors_equal is None
    assert compare(blobs, [], {}, tmp_path / "out", files, {}).tensors_equal is None


@pytest.mark.parametrize(
    ("before", "now", "difference"),
    [
        ({"student_accuracy": 0.5}, {"student_accuracy": 0.75, "probe_accuracy": 0.1}, 0.25),
        (
            {"a/student_accuracy": 0.5, "b/student_accuracy": 0.5},
            {"a/student_accuracy": 0.625, "b/student_accuracy": 0.25},
            -0.25,
        ),
        ({"probe_accuracy": 0.5}, {"probe_accuracy": 0.5}, 0.0),
        ({}, {"student_accuracy": 0.5}, None),
    ],
)
def test_the_largest_difference_in_accuracy_is_told(
    blobs: Blobs, tmp_path: Path, before: dict[str, float], now: dict[str, float], difference: float | None
) -> None:
    assert compare(blobs, [], before, tmp_path, [], now).accuracy_difference == difference
