"""The lines of docs/exports.md, as they stand there, on a real job's files and JPEG images."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from app.domain.spec import TrainingSpec
from app.imaging import open_rgb
from tests.documents import code_blocks
from worker.training.export.format import READ

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


def block(part: str) -> str:
    """The block of Python in the document that has this part."""
    return next(found for found in code_blocks(DOCUMENT.read_text(), "python") if part in found)


@pytest.mark.parametrize("name", ["student.onnx", "student.pixels.onnx"])
def test_give_the_class_that_the_evaluation_says(
    name: str,
    job: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = block(f'"{name}"')
    assert len([line for line in lines.splitlines() if line and "import" not in line]) <= 10
    shutil.copy(job / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    program, confusion = compile(block("def read") + lines, "docs/exports.md", "exec"), np.zeros((2, 2), int)
    for label, truth in enumerate(CLASSES):
        for photo in sorted((photos / "test" / truth).iterdir()):
            shutil.copy(photo, "photo.jpg")
            exec(program, {})
            confusion[label, CLASSES.index(capsys.readouterr().out.strip())] += 1
    evaluation = json.loads((job / "evaluation.json").read_text())
    assert confusion.tolist() == [list(row) for row in evaluation["student"]["confusion"]]


def odd_images() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    colours = Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8))
    alpha = Image.fromarray(rng.integers(0, 256, (20, 30), dtype=np.uint8))
    deep = Image.fromarray(rng.integers(0, 2**16, (20, 30), dtype=np.uint16))
    layer, palette = colours.copy(), colours.quantize(16)
    layer.putalpha(alpha)
    turned = Image.Exif()
    turned[0x0112] = 6
    return {
        "16-bit PNG": written(deep, "PNG"),
        "16-bit PNG turned": written(deep, "PNG", exif=turned),
        "16-bit TIFF": written(deep, "TIFF"),
        "RGBA PNG": written(layer, "PNG"),
        "RGBA PNG turned": written(layer, "PNG", exif=turned),
        "RGBA TIFF": written(layer, "TIFF"),
        "grey with alpha": written(layer.convert("LA"), "PNG"),
        "palette": written(palette, "PNG"),
        "palette, one transparent": written(palette, "PNG", transparency=3),
        "palette, transparency by entry": written(palette, "PNG", transparency=bytes(range(0, 256, 16))),
        "RGB, one colour transparent": written(colours, "PNG", transparency=colours.getpixel((3, 3))),
        "grey, one level transparent": written(alpha, "PNG", transparency=alpha.getpixel((3, 3))),
        "GIF, transparent": written(palette, "GIF", transparency=3),
        "WebP, transparent": written(layer, "WEBP", lossless=True),
        "1 bit": written(colours.convert("1"), "PNG"),
        "grey": written(alpha, "PNG"),
        "CMYK JPEG": written(colours.convert("CMYK"), "JPEG"),
        "JPEG turned": written(colours, "JPEG", exif=turned),
        "CMYK TIFF": written(colours.convert("CMYK"), "TIFF"),
        "BMP": written(colours, "BMP"),
    }


def written(image: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


ODD = odd_images()


@pytest.mark.parametrize("kind", ODD)
def test_read_odd_images_as_the_service_does(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photo.jpg").write_bytes(ODD[kind])
    expected = np.asarray(open_rgb(ODD[kind]))
    documented: dict[str, Any] = {}
    exec(block("def read"), documented)
    assert np.array_equal(np.asarray(documented["read"]("photo.jpg")), expected)
    of_card = {"np": np, "Image": Image, "ImageOps": ImageOps}
    exec(READ, of_card)
    assert np.array_equal(np.asarray(of_card["image"]), expected)


def test_16_bits_become_8_alike() -> None:
    """Each of the 65,536 levels."""
    levels = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    expected = np.asarray(open_rgb(written(Image.fromarray(levels), "PNG")))[..., 0]
    assert np.array_equal(np.rint(levels / 257).astype(np.uint8), expected)
