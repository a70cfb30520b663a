"""A downloaded student gives the answers of the service, for images of many kinds."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tdmr import Model, Tdmr
from tdmr.errors import NoModel
from tests.integration.client.conftest import publish
from tests.integration.client.student import small_student
from tests.integration.conftest import Service

NOISE = np.random.default_rng(0).integers(0, 255, (41, 57, 3), dtype=np.uint8)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def turned(image: Image.Image) -> Image.Exif:
    exif = image.getexif()
    exif[0x0112] = 6
    return exif


PLAIN = Image.fromarray(NOISE)
IMAGES = {
    "JPEG": encoded(PLAIN, "JPEG"),
    "a photograph turned by its EXIF tag": encoded(PLAIN, "JPEG", exif=turned(PLAIN)),
    "grey": encoded(PLAIN.convert("L"), "PNG"),
    "16 bits": encoded(Image.fromarray(NOISE[..., 0].astype(np.uint16) * 257), "PNG"),
    "transparent": encoded(Image.fromarray(np.dstack([NOISE, NOISE[..., 0]])), "PNG"),
    "palette": encoded(PLAIN.convert("P"), "GIF"),
    "CMYK": encoded(PLAIN.convert("CMYK"), "JPEG"),
    "high": encoded(PLAIN.resize((20, 91)), "WEBP"),
}


@pytest.fixture
def model(service: Service, client: Tdmr, tmp_path: Path) -> Model:
    job = client.jobs.get(service.submit())
    publish(service, job.id, small_student())
    return job.download(tmp_path / "model", progress=False)


@pytest.mark.parametrize("kind", IMAGES)
def test_are_the_service_s(client: Tdmr, model: Model, kind: str) -> None:
    here = model.predict(IMAGES[kind])
    [job] = client.jobs.list()
    there = job.predict(IMAGES[kind])

    assert [name for name, _ in here.ranking] == [one.name for one in there.predictions]
    assert [share for _, share in here.ranking] == pytest.approx(
        [one.probability for one in there.predictions], abs=1e-6
    )


def test_take_paths_bytes_and_pillow_images(model: Model, tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(IMAGES["JPEG"])
    image = Image.open(tmp_path / "cat.jpg")

    guesses = model.predict_all([tmp_path / "cat.jpg", str(tmp_path / "cat.jpg"), IMAGES["JPEG"], image], top_k=1)

    assert len(set(guesses)) == 1 and len(guesses[0].ranking) == 1
    assert guesses[0].label in repr(guesses[0]) and guesses[0].label in guesses[0]._repr_html_()
    assert "small" in repr(model) and "75.0%" in model._repr_html_()


def test_need_a_model(tmp_path: Path, model: Model) -> None:
    with pytest.raises(NoModel, match="holds no model"):
        Model(tmp_path / "nothing")
    with pytest.raises(NoModel, match="has no student 'other'"):
        Model(model.path, student="other")
    (model.path / "student.onnx").unlink()
    with pytest.raises(NoModel, match=r"has no student\.onnx"):
        Model(model.path).predict(IMAGES["JPEG"])
