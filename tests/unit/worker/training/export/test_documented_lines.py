"""The lines of docs/exports.md, as they stand there, on a real job's files and JPEG images."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.domain.spec import TrainingSpec

pytestmark = pytest.mark.slow

DOCUMENT = Path(__file__).parents[5] / "docs" / "exports.md"
CLASSES = ("dark", "light")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JPEG files of many shapes, hard enough for some to be answered wrongly."""
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for split, count in (("train", 8), ("test", 6)):
        for label, name in enumerate(CLASSES):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                coarse = rng.normal(118 + 20 * label, 45, (5, 5, 3)).clip(0, 255).astype(np.uint8)
                size = tuple(int(side) for side in rng.integers(30, 90, 2))
                Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(folder / f"{number}.jpg")
    return root


@pytest.fixture(scope="module")
def job(
    photos: Path,
    spec: Callable[..., TrainingSpec],
    run_training: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    asked = spec(teacher=None, method="scratch", export={"formats": ["onnx", "onnx_pixels"], "measure": False})
    outcome = run_training(asked, photos, tmp_path_factory.mktemp("job"))
    assert outcome.manifest["licences"]["student_weights"] is None
    folder: Path = outcome.out_dir
    return folder


@pytest.mark.parametrize("name", ["student.onnx", "student.pixels.onnx"])
def test_give_the_class_that_the_evaluation_says(
    name: str,
    job: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = next(
        block for block in re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL) if f'"{name}"' in block
    )
    assert len([line for line in lines.splitlines() if line and "import" not in line]) <= 10
    shutil.copy(job / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    program, confusion = compile(lines, "docs/exports.md", "exec"), np.zeros((2, 2), int)
    for label, truth in enumerate(CLASSES):
        for photo in sorted((photos / "test" / truth).iterdir()):
            shutil.copy(photo, "photo.jpg")
            exec(program, {})
            confusion[label, CLASSES.index(capsys.readouterr().out.strip())] += 1
    evaluation = json.loads((job / "evaluation.json").read_text())
    assert confusion.tolist() == [list(row) for row in evaluation["student"]["confusion"]]
