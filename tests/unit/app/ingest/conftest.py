"""Real images and real archives, made on the spot."""

import io
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MakePicture = Callable[..., bytes]
MakeZip = Callable[[Mapping[str, bytes]], Path]


@pytest.fixture(scope="session")
def picture() -> MakePicture:
    """`picture(7)`: another PNG for another number."""

    def make(number: int, format: str = "PNG") -> bytes:
        pixels = np.random.default_rng(number).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format)
        return file.getvalue()

    return make


@pytest.fixture
def classes(picture: MakePicture) -> dict[str, bytes]:
    """Two classes of ten images."""
    return {f"{name}/{i}.png": picture(100 * c + i) for c, name in enumerate(("cat", "dog")) for i in range(10)}


@pytest.fixture
def make_zip(tmp_path: Path) -> MakeZip:
    """Writes an ordinary zip."""

    def make(files: Mapping[str, bytes]) -> Path:
        path = tmp_path / "upload.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path

    return make


@pytest.fixture
def shared_data() -> Path:
    """Real data sets that are not part of the repository."""
    root = Path(__file__).resolve().parents[4]
    folder = Path(os.environ.get("TDMR_SHARED") or root.parent / "shared") / "data"
    if not folder.is_dir():
        pytest.skip("no shared data beside the repository, and TDMR_SHARED names none")
    return folder
