"""Checking what was downloaded: a real student, real image files, and files that were tampered with."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from app.domain.config import ExportConfig
from app.domain.dataset import Split
from app.domain.errors import NotFound
from app.domain.manifest import Preprocessing
from app.domain.spec import TrainingSpec
from app.imaging import fit_square
from worker.training.export.manifest import describe_file, describe_student, write_manifest
from worker.training.export.student import export_student
from worker.verify import DISAGREEMENT, UNUSABLE, main, verify

pytestmark = pytest.mark.slow

SIDE, RESIZED = 32, 36
CLASSES = ("blue", "red")
PREPROCESSING = Preprocessing(
    resize_short_side=RESIZED,
    center_crop=SIDE,
    interpolation="bilinear",
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)
NAMES = {"student.onnx", "student.ts", "student.safetensors"}


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a job publishes: a student that was not trained, but exported as one."""
    folder = tmp_path_factory.mktemp("job")
    torch.manual_seed(0)
    student = timm.create_model("test_resnet", num_classes=2)
    images = np.stack([square(row) for row in range(5)])
    spec = TrainingSpec(student="test_resnet", method="scratch", image_size=SIDE, export=ExportConfig())
    exported = export_student(
        student,
        config=spec.export,
        out_dir=folder,
        image_size=SIDE,
        classes=CLASSES,
        preprocessing=PREPROCESSING,
        fingerprint=spec.fingerprint(),
        eval_images_u8=images,
        eval_paths=[f"{row}.png" for row in range(5)],
        on_event=lambda code, message: None,
    )
    write_manifest(
        folder,
        files=sorted(NAMES),
        spec=spec,
        classes=CLASSES,
        preprocessing=PREPROCESSING,
        student=describe_student("test_resnet", student, {}, SIDE),
        teacher=None,
        dataset={},
        device="cpu",
        metrics={},
        seconds={},
        parity=exported.parity,
    )
    return folder


@pytest.fixture
def downloaded(job: Path, tmp_path: Path) -> Path:
    """A copy of its own for each test."""
    return shutil.copytree(job, tmp_path / "downloaded")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """train/ and test/ with images that are not square, of both classes."""
    for row in range(12):
        split = "train" if row < 5 else "test"
        path = tmp_path / "data" / split / CLASSES[row % 2] / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(row).save(path)
    return tmp_path / "data"


def picture(row: int) -> Image.Image:
    pixels = np.random.default_rng(row).integers(0, 256, (48, 60, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def square(row: int) -> np.ndarray:
    margin = (RESIZED - SIDE) // 2
    return fit_square(picture(row), RESIZED, "bilinear")[margin:-margin, margin:-margin]


class TestVerify:
    def test_confirms_what_was_published(self, downloaded: Path, data: Path) -> None:
        report = verify(downloaded, data, Split.TEST)
        assert report.ok
        assert (report.images, report.absent) == (7, ())
        assert {check.name for check in report.files} == NAMES
        expected = expected_accuracy(downloaded, range(5, 12))
        for check in report.files:
            assert check.accuracy == pytest.approx(expected)
            assert check.top1_agreement == 1.0
            assert check.max_logit_difference is not None
            assert check.max_logit_difference <= 1e-4

    def test_takes_a_zip_and_all_its_labelled_images(self, downloaded: Path, data: Path, tmp_path: Path) -> None:
        (downloaded / "student.onnx").unlink()
        with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
            for file in data.rglob("*.png"):
                archive.write(file, file.relative_to(data))
            archive.write(next(data.rglob("*.png")), "unlabeled/0.png")
        report = verify(downloaded, tmp_path / "data.zip")
        assert report.ok
        assert report.images == 12
        assert report.absent == ("student.onnx",)

    def test_does_not_run_a_file_that_is_not_the_manifests(self, downloaded: Path, data: Path) -> None:
        content = bytearray((downloaded / "student.ts").read_bytes())
        content[len(content) // 2] ^= 1
        (downloaded / "student.ts").write_bytes(content)
        report = verify(downloaded, data, Split.TEST)
        by_name = {check.name: check for check in report.files}
        assert not report.ok
        assert "SHA-256" in (by_name["student.ts"].problem or "")
        assert by_name["student.ts"].accuracy is None
        assert by_name["student.onnx"].problem is None

    def test_finds_a_file_that_computes_something_else(self, downloaded: Path, data: Path) -> None:
        other = timm.create_model("test_resnet", num_classes=2)
        swap_weights(downloaded, other)
        (downloaded / "student.ts").unlink()
        report = verify(downloaded, data, Split.TEST)
        by_name = {check.name: check for check in report.files}
        assert not report.ok
        assert "does not compute what was trained" in (by_name["student.onnx"].problem or "")
        assert (by_name["student.onnx"].max_logit_difference or 0) > 1e-4

    def test_refuses_images_of_other_classes(self, downloaded: Path, data: Path) -> None:
        (data / "test" / "red").rename(data / "test" / "green")
        (data / "train" / "red").rename(data / "train" / "green")
        with pytest.raises(NotFound, match="green"):
            verify(downloaded, data)

    def test_needs_the_weights(self, downloaded: Path, data: Path) -> None:
        (downloaded / "student.safetensors").unlink()
        with pytest.raises(NotFound, match=r"student\.safetensors"):
            verify(downloaded, data)


class TestSeveralStudents:
    @pytest.fixture
    def several(self, job: Path, tmp_path: Path) -> Path:
        """Two students in one job: the same one twice, which is enough here."""
        folder = tmp_path / "several"
        files = []
        for name in ("one", "two"):
            shutil.copytree(job, folder / name)
            files += [f"{name}/{file}" for file in (*sorted(NAMES), "manifest.json")]
        spec = TrainingSpec(students=("one", "two"), method="scratch", image_size=SIDE)
        nothing: dict[str, Any] = {"dataset": {}, "metrics": {}, "seconds": {}, "parity": {}, "teacher": None}
        write_manifest(
            folder, files=files, spec=spec, classes=CLASSES, preprocessing=None, student=None, device="cpu", **nothing
        )
        return folder

    def test_are_each_compared_with_their_own_weights(self, several: Path, data: Path) -> None:
        (several / "one" / "student.ts").unlink()
        other = timm.create_model("test_resnet", num_classes=2)
        swap_weights(several / "two", other)
        describe_again(several)
        report = verify(several, data, Split.TEST)
        by_name = {check.name: check for check in report.files}
        assert (report.images, report.absent) == (7, ("one/student.ts",))
        assert by_name["one/student.onnx"].problem is None
        assert by_name["one/student.onnx"].top1_agreement == 1.0
        for file in ("two/student.onnx", "two/student.ts"):
            assert "does not compute what was trained" in (by_name[file].problem or "")

    def test_may_be_downloaded_in_part(self, several: Path, data: Path) -> None:
        shutil.rmtree(several / "one")
        report = verify(several, data, Split.TEST)
        assert report.ok
        measured = {check.name for check in report.files if check.accuracy is not None}
        assert measured == {f"two/{name}" for name in NAMES}

    def test_a_students_manifest_must_be_the_jobs(self, several: Path, data: Path) -> None:
        swap_weights(several / "two", timm.create_model("test_resnet", num_classes=2))
        report = verify(several, data, Split.TEST)
        by_name = {check.name: check for check in report.files}
        for file in ("two/manifest.json", "two/student.safetensors"):
            assert "SHA-256" in (by_name[file].problem or "")
        assert by_name["two/student.ts"].accuracy is None
        assert by_name["one/student.ts"].problem is None

    def test_a_probe_leaves_nothing_to_run(self, several: Path, data: Path) -> None:
        manifest = json.loads((several / "manifest.json").read_text())
        manifest["spec"]["students"] = None
        (several / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(NotFound, match="trained no student"):
            verify(several, data)


class TestCommand:
    def test_prints_a_table(self, downloaded: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (downloaded / "student.ts").unlink()
        assert main([str(downloaded), str(data), "--split", "test"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "7 test images"
        assert lines[1].split()[:3] == ["file", "bytes", "accuracy"]
        assert [line.split()[0] for line in lines[2:]] == ["student.onnx", "student.safetensors"]

    def test_fails_with_the_reason(self, downloaded: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (downloaded / "student.onnx").write_bytes(b"")
        (downloaded / "student.ts").unlink()
        assert main([str(downloaded), str(data), "--json"]) == DISAGREEMENT
        report = json.loads(capsys.readouterr().out)
        assert report["ok"] is False
        assert "SHA-256" in report["files"][0]["problem"]

    def test_says_what_is_missing(self, tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([str(tmp_path), str(data)]) == UNUSABLE
        assert "manifest.json" in capsys.readouterr().err


def describe_again(folder: Path) -> None:
    """Let the manifest vouch for the files as they are."""
    manifest = json.loads((folder / "manifest.json").read_text())
    present = [file["name"] for file in manifest["files"] if (folder / file["name"]).is_file()]
    absent = [file for file in manifest["files"] if file["name"] not in present]
    manifest["files"] = absent + [describe_file(folder, name).model_dump() for name in present]
    (folder / "manifest.json").write_text(json.dumps(manifest))


def expected_accuracy(folder: Path, rows: range) -> float:
    student = timm.create_model("test_resnet", num_classes=2).eval()
    student.load_state_dict(load_file(folder / "student.safetensors"))
    inputs = torch.from_numpy(np.stack([square(row) for row in rows])).permute(0, 3, 1, 2) / 255
    mean, std = torch.tensor(PREPROCESSING.mean), torch.tensor(PREPROCESSING.std)
    logits = student((inputs - mean.view(3, 1, 1)) / std.view(3, 1, 1))
    return float((logits.argmax(1) == torch.tensor([row % 2 for row in rows])).float().mean())


def swap_weights(folder: Path, other: torch.nn.Module) -> None:
    """Publish another network's weights beside the exported files, with a manifest that vouches for them."""
    save_file(other.state_dict(), folder / "student.safetensors")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = [describe_file(folder, name).model_dump() for name in sorted(NAMES)]
    (folder / "manifest.json").write_text(json.dumps(manifest))
