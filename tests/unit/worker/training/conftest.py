"""A small real data set on disk, and a way to run the training harness on it."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.domain.progress import LINE, Line
from app.domain.runtime import RuntimeConfig
from app.domain.spec import TrainingSpec
from worker.training.engine.loop import Stopped
from worker.training.engine.reporter import Reporter
from worker.training.pipeline import train
from worker.training.run import Run

SIDE = 32
TRAIN = {"run_training", "whole_run"}
"""Fixtures: a test that asks for one trains for seconds."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if TRAIN & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")


def picture(label: int, rng: np.random.Generator) -> Image.Image:
    """A bright bar on noise: label 0 lies, label 1 stands, label 2 is a square."""
    pixels = rng.integers(0, 90, (SIDE + 8, SIDE + 8, 3), dtype=np.uint8)
    x, y = rng.integers(6, 18, 2)
    height, width = [(6, 18), (18, 6), (12, 12)][label]
    pixels[y : y + height, x : x + width] = rng.integers(180, 255, 3, dtype=np.uint8)
    return Image.fromarray(pixels)


def image_folder(root: Path, **splits: int) -> Path:
    """Three classes with so many images each in each split, and 24 images without a label."""
    rng = np.random.default_rng(0)
    for split, count in splits.items():
        for label, name in enumerate(("lying", "standing", "square")):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                picture(label, rng).save(folder / f"{number}.png")
    (root / "unlabeled").mkdir()
    for number in range(24):
        picture(number % 3, rng).save(root / "unlabeled" / f"{number}.png")
    return root


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image folder with train, test and unlabelled images of three classes."""
    return image_folder(tmp_path_factory.mktemp("shapes"), train=4, test=8)


@pytest.fixture(scope="session")
def spec() -> Callable[..., TrainingSpec]:
    """A spec that runs in seconds; keyword arguments change it."""

    def make(**changes: Any) -> TrainingSpec:
        fields: dict[str, Any] = {
            "teacher": "test_resnet.random",
            "student": "test_resnet",
            "image_size": SIDE,
            "views": {"count": 4, "mode": "cached"},
            "reprogram": {"steps": 20, "image_size": SIDE},
            # with a connector, which is trained and must come back from a checkpoint
            "distill": {"image_steps": 320, "batch_size": 16, "proxy_weight": 0.5},
            "export": {"formats": ["torchscript"], "measure": False},
        }
        return TrainingSpec.model_validate(fields | changes)

    return make


class Outcome:
    """What a run printed and left."""

    def __init__(self, out_dir: Path, printed: str) -> None:
        self.out_dir = out_dir
        self.lines: list[Line] = [LINE.validate_json(line) for line in printed.splitlines()]

    @property
    def events(self) -> list[str]:
        return [line.code for line in self.lines if line.type == "event"]

    @property
    def manifest(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.out_dir / "manifest.json").read_text())
        return content


@pytest.fixture(scope="session")
def run_training() -> Callable[..., Outcome]:
    """Runs the pipeline in this process. `stop_after` requests a stop at that many questions whether to stop,
    `stop_when` once it is true of what was printed so far; `runtime` are its settings."""

    def run(
        spec: TrainingSpec,
        data: Path,
        out_dir: Path,
        stop_after: int | None = None,
        stop_when: Callable[[str], bool] | None = None,
        **runtime: Any,
    ) -> Outcome:
        asked = 0
        printed = io.StringIO()

        def stop_requested() -> bool:
            nonlocal asked
            asked += 1
            if stop_when is not None and stop_when(printed.getvalue()):
                return True
            return stop_after is not None and asked >= stop_after

        try:
            config = RuntimeConfig(device="cpu", hub=False, **runtime)
            train(Run(spec, data, out_dir, config, Reporter(printed), stop_requested))
        except Stopped:
            assert stop_after is not None or stop_when is not None
        return Outcome(out_dir, printed.getvalue())

    return run


@pytest.fixture(scope="session")
def whole_run(
    spec: Callable[..., TrainingSpec],
    run_training: Callable[..., Outcome],
    shapes: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Outcome:
    """The default spec, run through without a stop."""
    return run_training(spec(), shapes, tmp_path_factory.mktemp("whole"))
