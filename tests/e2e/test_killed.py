"""`python -m worker.training`, killed in every stage and started again: the students are those of a straight run."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from app.domain.progress import LINE, Line
from app.domain.states import Stage

STUDENTS = ("test_resnet", "test_vit")
SPEC: dict[str, Any] = {
    "teacher": "test_resnet.random",
    "students": STUDENTS,
    "image_size": 32,
    "views": {"count": 4, "mode": "cached"},
    "reprogram": {"steps": 200, "image_size": 32},
    "distill": {"image_steps": 480, "batch_size": 16},
    "export": {"formats": ["torchscript"], "measure": False},
}
# timing would choose how to compute, and might choose differently when the machine is busy
ENVIRONMENT = os.environ | {"TDMR_PRECISION": "float32", "OMP_NUM_THREADS": "1", "TDMR_DEVICE": "cpu"}

Moment = Callable[[Line], bool]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of small images, and some without a label."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for folder, count in (
        ("train/dark", 6),
        ("train/light", 6),
        ("test/dark", 5),
        ("test/light", 5),
        ("unlabeled", 12),
    ):
        (root / folder).mkdir(parents=True)
        for number in range(count):
            low = 120 if "light" in folder or number % 2 else 0
            pixels = rng.integers(low, low + 130, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / folder / f"{number}.png")
    return root


def run(data: Path, out: Path, moment: Moment | None = None) -> list[Line]:
    """What a run prints, until it ends or, at `moment`, is killed."""
    out.mkdir(exist_ok=True)
    (out / "spec.json").write_text(json.dumps(SPEC))
    command = [sys.executable, "-m", "worker.training", str(out / "spec.json"), str(data), str(out)]
    lines: list[Line] = []
    with (
        (out / "log").open("ab") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=ENVIRONMENT) as child,
    ):
        assert child.stdout is not None
        for text in child.stdout:
            lines.append(LINE.validate_json(text))
            if moment is not None and moment(lines[-1]):
                child.kill()
    assert child.returncode == (0 if moment is None else -signal.SIGKILL), (lines[-1], (out / "log").read_text())
    return lines


def enters(stage: Stage) -> Moment:
    return lambda line: line.type == "stage" and line.stage is stage


def trains(stage: Stage, name: str, step: int) -> Moment:
    return lambda line: line.type == "metric" and line.stage is stage and name in line.values and line.step >= step


def reports(code: str) -> Moment:
    return lambda line: line.type == "event" and line.code == code


MOMENTS: dict[Stage, Moment] = {
    Stage.PREPARE: reports("data_ready"),
    Stage.REPROGRAM: trains(Stage.REPROGRAM, "loss", 20),
    Stage.DISTILL: trains(Stage.DISTILL, "test_vit/loss", 40),
    Stage.EVALUATE: enters(Stage.EVALUATE),
    Stage.EXPORT: reports("exported"),
}


def weights(folder: Path) -> str:
    """SHA-256 over the student's tensors."""
    digest = hashlib.sha256()
    for name, values in sorted(load_file(folder / "student.safetensors").items()):
        digest.update(name.encode() + values.tobytes())
    return digest.hexdigest()


class TestKilled:
    @pytest.mark.timeout(900)  # seven runs of the child, one after another
    def test_in_every_stage_gives_the_students_of_a_straight_run(self, data: Path, tmp_path: Path) -> None:
        straight, killed = tmp_path / "straight", tmp_path / "killed"
        run(data, straight)

        seen: dict[Stage, list[Line]] = {}
        for stage, moment in MOMENTS.items():
            seen[stage] = run(data, killed, moment)
            assert stage in {line.stage for line in seen[stage] if line.type == "stage"}
            assert not (killed / "manifest.json").exists()
        last = run(data, killed)

        for name in STUDENTS:
            assert weights(killed / name) == weights(straight / name)
            evaluations = [(out / name / "evaluation.json").read_bytes() for out in (killed, straight)]
            assert evaluations[0] == evaluations[1]
        # what was complete is not done again
        after_distill = [*seen[Stage.EVALUATE], *seen[Stage.EXPORT], *last]
        assert "reprogram_reused" in {line.code for line in seen[Stage.EVALUATE] if line.type == "event"}
        trained = {name for line in after_distill if line.type == "metric" for name in line.values if "/loss" in name}
        assert trained == {"test_vit/loss"}
        assert last[-1].type == "done"
