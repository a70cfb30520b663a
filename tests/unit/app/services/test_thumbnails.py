"""What grids show of an image."""

import hashlib
import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from app.db.models import Dataset
from app.domain.dataset import INDEX_NAME, DatasetIndex, Sample, Split
from app.domain.errors import FileLost, NotFound
from app.services.thumbnails import SIDE, etag, thumbnail
from app.storage.blobs import Blobs


class Shown:
    """A prepared data set of one image."""

    def __init__(self, folder: Path, content: bytes, suffix: str) -> None:
        self.sample = Sample(
            id=hashlib.sha256(content).hexdigest(), path=f"a{suffix}", split=Split.TRAIN, label=0, source="mine"
        )
        index = DatasetIndex(classes=("x",), samples=(self.sample,))
        with zipfile.ZipFile(folder / "prepared.zip", "w") as archive:
            archive.writestr(INDEX_NAME, index.model_dump_json())
            archive.writestr(self.sample.path, content)
        self.blobs, key = Blobs(folder.as_uri()), f"{folder.name}/prepared.zip"
        self.blobs.put_file(key, folder / "prepared.zip")
        self.dataset = Dataset(id="ds_1", prepared_key=key)

    def __call__(self, name: str = "mine") -> Image.Image:
        return Image.open(io.BytesIO(thumbnail(self.blobs, self.dataset, name).content))


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def test_a_large_image_has_the_shape_and_colours_that_it_has(tmp_path: Path) -> None:
    shown = Shown(tmp_path, encoded(Image.new("RGB", (1600, 800), (200, 30, 30)), "JPEG"), ".jpg")()
    assert shown.size == (SIDE, SIDE // 2)
    assert all(abs(got - want) < 8 for got, want in zip(shown.getpixel((9, 9)), (200, 30, 30), strict=True))


def test_a_turned_photograph_is_upright(tmp_path: Path) -> None:
    image, exif = Image.new("RGB", (1600, 800)), Image.Exif()
    exif[0x0112] = 6
    assert Shown(tmp_path, encoded(image, "JPEG", exif=exif), ".jpg")().size == (SIDE // 2, SIDE)


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_grey_and_other_formats(tmp_path: Path, format: str) -> None:
    shown = Shown(tmp_path, encoded(Image.new("L", (600, 600), 90), format), f".{format.lower()}")()
    assert (shown.size, shown.mode) == ((SIDE, SIDE), "RGB")


def test_a_small_image_is_shown_as_it_is(tmp_path: Path) -> None:
    content = encoded(Image.new("RGB", (SIDE, 12)), "PNG")
    shown = Shown(tmp_path, content, ".png")
    assert thumbnail(shown.blobs, shown.dataset, "mine").content == content


def test_is_made_once_of_the_same_bytes(tmp_path: Path) -> None:
    shown = Shown(tmp_path, encoded(Image.new("RGB", (700, 700), (1, 2, 3)), "PNG"), ".png")
    assert shown.sample.sha256 in etag(shown.sample)
    first = thumbnail(shown.blobs, shown.dataset, "mine")
    shown.blobs.delete(str(shown.dataset.prepared_key))
    assert thumbnail(shown.blobs, shown.dataset, "mine") is first


def test_what_is_not_there_or_damaged(tmp_path: Path) -> None:
    shown = Shown(tmp_path, encoded(Image.new("RGB", (900, 900)), "PNG")[:200], ".png")
    with pytest.raises(NotFound):
        shown("other")
    with pytest.raises(FileLost):
        shown()
