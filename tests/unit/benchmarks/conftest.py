"""A small archive, as the benchmarks take them."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CLASSES = ("cup", "fork", "knife")
PER_CLASS = 20


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders without splits: 20 images of noise for each of three classes."""
    path = tmp_path_factory.mktemp("archives") / "cutlery.zip"
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as zipped:
        for name in CLASSES:
            for number in range(PER_CLASS):
                buffer = io.BytesIO()
                Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(buffer, "PNG")
                zipped.writestr(f"{name}/{number}.png", buffer.getvalue())
    return path
