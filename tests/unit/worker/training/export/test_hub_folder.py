"""A job's student in the folder that the client writes for Hugging Face's hub: timm loads it, and it is the same."""

import json
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import timm
import torch
from PIL import Image

from app.domain.spec import TrainingSpec
from tdmr import Model
from tdmr.errors import NoModel
from tdmr.exports import Hub, Record
from worker.verify import read_images, read_manifest, rebuild

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JPEG files, two classes, of several shapes."""
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for split, count in (("train", 8), ("test", 4)):
        for label, name in enumerate(("dark", "light, or so")):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                coarse = rng.normal(100 + 50 * label, 45, (5, 5, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(coarse).resize((40 + number, 60), Image.Resampling.BICUBIC).save(
                    folder / f"{number}.jpg"
                )
    return root


@pytest.fixture(scope="module")
def job(
    photos: Path,
    spec: Callable[..., TrainingSpec],
    run_training: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Two students; the transformer has to be told its image size to be built again."""
    asked = spec(
        teacher=None,
        method="scratch",
        student=None,
        students=["test_resnet", "test_vit"],
        export={"formats": ["onnx"], "measure": False},
    )
    folder: Path = run_training(asked, photos, tmp_path_factory.mktemp("job")).out_dir
    return folder


def record(job: Path, target: Hub, folder: Path) -> Record:
    """As the client makes it, with those files that the target wants."""
    for path in job.rglob("*"):
        name = path.relative_to(job).as_posix()
        if path.is_file() and target.wants(name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)
    spec = json.loads((job / "manifest.json").read_text())["spec"]
    now = datetime.now(UTC)
    return Record("job_1", "succeeded", "http://here/jobs/job_1", spec, {}, "ds_1", None, [], {}, now, now, folder)


@pytest.mark.parametrize("student", ["test_resnet", "test_vit"])
def test_gives_the_same_logits_in_timm(student: str, job: Path, photos: Path, tmp_path: Path) -> None:
    target = Hub(tmp_path / "hub", student=student)
    place = target.write(record(job, target, tmp_path))
    manifest = read_manifest(job / student)
    images = read_images(photos, manifest, None)
    session = onnxruntime.InferenceSession(job / student / "student.onnx")

    from_hub = timm.create_model(f"local-dir:{place}", pretrained=True).eval()

    config = from_hub.pretrained_cfg
    mean, std = (np.array(config[name], np.float32) for name in ("mean", "std"))
    batch = np.ascontiguousarray(((images.squares_NHWC / np.float32(255) - mean) / std).transpose(0, 3, 1, 2))
    with torch.inference_mode():
        expected = rebuild(job / student, manifest).eval()(torch.from_numpy(batch))
        found = from_hub(torch.from_numpy(batch))
    assert len(found) == 24 and torch.equal(found, expected) and found.std() > 0
    np.testing.assert_allclose(found.numpy(), session.run(None, {session.get_inputs()[0].name: batch})[0], atol=1e-4)
    assert config["label_names"] == ["dark", "light, or so"]


def test_has_a_card_whose_lines_prepare_images_as_the_service_does(
    job: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Hub("hub", student="test_resnet", licence="cc-by-4.0")
    monkeypatch.chdir(tmp_path)
    target.write(record(job, target, tmp_path / "got"))
    card = Path("hub/README.md").read_text()
    front, *lines = re.findall(r"(?s)^---\n(.*?)\n---$|```python\n(.*?)```", card, re.MULTILINE)
    documented: dict[str, Any] = {}
    exec(lines[0][1], documented)
    photo = next((photos / "test" / "dark").iterdir())

    seen = documented["transform"](Image.open(photo))[None]

    np.testing.assert_allclose(seen.numpy(), Model(job, "test_resnet").prepare(photo), atol=1e-6)
    assert documented["model"](seen).shape == (1, 2)
    assert 'license: "cc-by-4.0"' in front[0] and 'library_name: "timm"' in front[0]
    assert 'pipeline_tag: "image-classification"' in front[0]


def test_holds_nothing_that_names_images(job: Path, tmp_path: Path) -> None:
    target = Hub(tmp_path / "hub", student="test_vit")
    target.write(record(job, target, tmp_path / "got"))
    names = {path.relative_to(tmp_path / "hub").as_posix() for path in (tmp_path / "hub").rglob("*")}
    assert {"README.md", "config.json", "model.safetensors", "manifest.json", "student.onnx"} <= names
    assert not names & {"evaluation.json", "answers.csv", "data_review.json", "student.safetensors", "model_card.md"}
    drawings = re.findall(r"!\[.*?\]\((.*?)\)", (tmp_path / "hub" / "README.md").read_text())
    assert drawings and set(drawings) <= names


def test_needs_to_be_told_which_student(job: Path, tmp_path: Path) -> None:
    target = Hub(tmp_path / "hub")
    with pytest.raises(NoModel, match=r"Name one: test_resnet, test_vit\."):
        target.write(record(job, target, tmp_path / "got"))
    with pytest.raises(NoModel, match="no student 'resnet50'"):
        Hub(tmp_path / "hub", student="resnet50").write(record(job, target, tmp_path / "got"))
