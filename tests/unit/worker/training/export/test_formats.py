"""float16, int8 and pixels-to-probabilities, and wrong exports that are planted for the validation to find."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import timm
import torch
from PIL import Image
from torch import nn

from app.domain.config import ExportConfig, ExportFormat
from app.domain.errors import ExportParityFailed
from app.domain.manifest import Licences, Preprocessing
from app.imaging import fit_square, open_rgb
from worker.training.export.formats import find
from worker.training.export.parity import Judged, spread
from worker.training.export.prediction import predict
from worker.training.export.source import wrapped
from worker.training.export.student import Exported, export_student
from worker.training.export.tolerance import Withheld, accuracy_loss, check_accuracy
from worker.training.export.validation import ExportValidator

pytestmark = pytest.mark.slow

SIDE = 32
CLASSES = ("ant", "bee", "Käfer")
PREPROCESSING = Preprocessing(
    resize_short_side=SIDE,
    center_crop=SIDE,
    interpolation="bilinear",
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)
LICENCES = Licences(student_weights=None, teacher="Apache-2.0", dataset="the uploader's own")
ONNX, FP16 = ExportFormat.ONNX, ExportFormat.ONNX_FP16
INT8, PIXELS = ExportFormat.ONNX_INT8, ExportFormat.ONNX_PIXELS
PATHS = [f"{row}.jpg" for row in range(12)]


class Pictures:
    """Image files of many shapes, larger and smaller than the student's input."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        self.folder = folder
        for path in PATHS:
            height, width = (int(side) for side in rng.integers(20, 140, 2))
            coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
            coarse.resize((width, height), Image.Resampling.BICUBIC).save(folder / path)
        self.squares = np.stack([fit_square(open_rgb(folder / path), SIDE) for path in PATHS])


def build() -> nn.Module:
    torch.manual_seed(0)
    network = timm.create_model("test_resnet", num_classes=len(CLASSES))
    network.get_classifier().weight.data.mul_(10)
    return network.eval()


def run(
    student: nn.Module, pictures: Pictures, out: Path, *formats: ExportFormat, **changes: Any
) -> tuple[Exported, list[tuple[str, bool]]]:
    out.mkdir(exist_ok=True)
    events: list[tuple[str, bool]] = []
    arguments: dict[str, Any] = {
        "config": ExportConfig(formats=formats, max_accuracy_loss=0.0),
        "preprocessing": PREPROCESSING,
        "calibration": lambda: pictures.squares,
    }
    exported = export_student(
        student,
        out_dir=out,
        image_size=SIDE,
        classes=CLASSES,
        fingerprint="f" * 64,
        eval_images_u8=pictures.squares,
        eval_paths=PATHS,
        eval_folder=pictures.folder,
        metrics={"student_top1": 0.5},
        licences=LICENCES,
        on_event=lambda code, message, warning=False: events.append((f"{code}: {message}", warning)),
        **(arguments | changes),
    )
    return exported, events


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    return Pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def student(pictures: Pictures) -> nn.Module:
    """That does not give all pictures one answer."""
    network = build()
    logits = predict(network, pictures.squares, PREPROCESSING.mean, PREPROCESSING.std, batch_size=12, device="cpu")
    network.get_classifier().bias.data -= torch.from_numpy(logits.mean(0))
    return network


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def exported(student: nn.Module, pictures: Pictures, out: Path) -> Exported:
    return run(student, pictures, out, ONNX, FP16, INT8, PIXELS)[0]


@pytest.fixture(scope="module")
def expected(student: nn.Module, pictures: Pictures) -> npt.NDArray[np.float32]:
    mean, std = PREPROCESSING.mean, PREPROCESSING.std
    return predict(student, pictures.squares, mean, std, batch_size=5, device="cpu")


class TestFormats:
    def test_each_agrees_within_its_own_bound(self, exported: Exported) -> None:
        assert exported.withheld == {}
        fp32, fp16 = exported.parity["student.onnx"], exported.parity["student.fp16.onnx"]
        int8, pixels = exported.parity["student.int8.onnx"], exported.parity["student.pixels.onnx"]
        assert fp32.bound is not None and fp16.bound is not None
        assert fp32.max_logit_difference < fp16.max_logit_difference <= fp16.bound
        assert fp32.bound < fp16.bound
        assert pixels.bound is not None and pixels.max_logit_difference <= pixels.bound
        assert {fp32.top1_agreement, fp16.top1_agreement, pixels.top1_agreement} == {1.0}
        assert int8.accuracy_loss is not None and int8.accuracy_loss <= 1 / len(PATHS)
        assert (int8.bound, int8.accuracy_loss_bound) == (None, 0.0)

    def test_smaller_formats_are_smaller(self, exported: Exported, out: Path) -> None:
        whole, half, quarter = (
            (out / name).stat().st_size for name in ("student.onnx", "student.fp16.onnx", "student.int8.onnx")
        )
        assert half < 0.6 * whole
        assert quarter < 0.45 * whole

    def test_float16_is_used_like_float32(self, exported: Exported, out: Path) -> None:
        session = onnxruntime.InferenceSession(out / "student.fp16.onnx")
        assert [session.get_inputs()[0].type, session.get_outputs()[0].type] == ["tensor(float)"] * 2

    def test_each_carries_what_its_user_must_know(self, exported: Exported, out: Path) -> None:
        for name in exported.parity:
            told = {item.key: item.value for item in onnx.load(out / name).metadata_props}
            assert json.loads(told["classes"]) == list(CLASSES)
            assert Preprocessing.model_validate_json(told["preprocessing"]) == PREPROCESSING
            assert json.loads(told["metrics"]) == {"student_top1": 0.5}
            assert told["spec_fingerprint"] == "f" * 64
            assert Licences.model_validate_json(told["licences"]) == LICENCES

    @pytest.mark.parametrize("size", [(32, 32), (33, 64), (64, 33), (20, 31), (400, 97)])
    def test_pixels_resize_and_crop_as_pillow_does(
        self, exported: Exported, out: Path, student: nn.Module, size: tuple[int, int]
    ) -> None:
        coarse = Image.fromarray(np.random.default_rng(1).integers(0, 256, (6, 6, 3), dtype=np.uint8))
        picture = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC))
        square = fit_square(Image.fromarray(picture), SIDE)[None]
        wanted = predict(student, square, PREPROCESSING.mean, PREPROCESSING.std, batch_size=1, device="cpu")[0]
        session = onnxruntime.InferenceSession(out / "student.pixels.onnx")
        logits, probabilities = session.run(["logits", "probabilities"], {"image": picture})
        np.testing.assert_allclose(logits, wanted, atol=0.02)
        assert probabilities.sum() == pytest.approx(1.0, abs=1e-5)


class TestPlanted:
    """Each is wrong in one thing alone, and nothing else of the job would notice."""

    @pytest.fixture
    def validator(self, student: nn.Module, pictures: Pictures, expected: npt.NDArray[np.float32]) -> ExportValidator:
        judged = Judged(pictures.squares, PATHS, pictures.folder)
        return ExportValidator(wrapped(student), expected, judged, PREPROCESSING, ExportConfig())

    @pytest.fixture
    def altered(self, exported: Exported, out: Path, tmp_path: Path) -> Callable[..., Path]:
        def alter(name: str, change: Callable[[onnx.ModelProto], None]) -> Path:
            model = onnx.load(out / name)
            change(model)
            onnx.save(model, tmp_path / name)
            return tmp_path / name

        return alter

    @pytest.mark.parametrize(("chosen", "name"), [(ONNX, "student.onnx"), (PIXELS, "student.pixels.onnx")])
    def test_a_weight(
        self, validator: ExportValidator, altered: Callable[..., Path], tmp_path: Path, chosen: ExportFormat, name: str
    ) -> None:
        def change(model: onnx.ModelProto) -> None:
            weight = next(item for item in model.graph.initializer if len(item.dims) == 4)
            values = onnx.numpy_helper.to_array(weight).copy()
            values.flat[0] += 1.0
            weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))

        with pytest.raises(ExportParityFailed, match=r"does not compute what was trained.*first on '\d+\.jpg'"):
            validator.check(find(chosen), altered(name, change), tmp_path)

    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            ("mean", (0.5, 0.5, 0.5), "does not compute what was trained"),
            ("center_crop", SIDE - 4, "tells of another preprocessing"),
            ("interpolation", "bicubic", "tells of another preprocessing"),
        ],
    )
    def test_a_preprocessing_in_the_metadata(
        self,
        validator: ExportValidator,
        altered: Callable[..., Path],
        tmp_path: Path,
        field: str,
        value: Any,
        message: str,
    ) -> None:
        def change(model: onnx.ModelProto) -> None:
            told = {item.key: item.value for item in model.metadata_props}
            wrong = PREPROCESSING.model_copy(update={field: value})
            onnx.helper.set_model_props(model, told | {"preprocessing": wrong.model_dump_json()})

        with pytest.raises(ExportParityFailed, match=rf"{message}.*'\d+\.jpg'"):
            validator.check(find(ONNX), altered("student.onnx", change), tmp_path)

    def test_a_mean_in_the_graph(
        self, validator: ExportValidator, altered: Callable[..., Path], tmp_path: Path
    ) -> None:
        def change(model: onnx.ModelProto) -> None:
            mean = next(item for item in model.graph.initializer if item.name.endswith("prepare/mean"))
            mean.CopyFrom(onnx.numpy_helper.from_array(np.full((3, 1, 1), 0.5, np.float32), mean.name))

        with pytest.raises(ExportParityFailed, match=r"student\.pixels\.onnx does not compute"):
            validator.check(find(PIXELS), altered("student.pixels.onnx", change), tmp_path)

    def test_a_mean_that_the_evaluation_did_not_use(
        self, student: nn.Module, pictures: Pictures, expected: npt.NDArray[np.float32], tmp_path: Path
    ) -> None:
        """In the job's own description: every file would agree with a student that is prepared wrongly."""
        wrong = PREPROCESSING.model_copy(update={"mean": (0.0, 0.0, 0.0)})
        with pytest.raises(ExportParityFailed, match=r"The student as exported.*'\d+\.jpg'"):
            run(student, pictures, tmp_path / "out", ONNX, preprocessing=wrong, evaluated_NK=expected)


class TestWithheld:
    def test_int8_that_loses_too_much(self, student: nn.Module, pictures: Pictures, tmp_path: Path) -> None:
        """Calibrated on black squares, it has no range for anything else."""
        black = np.zeros_like(pictures.squares)
        exported, events = run(student, pictures, tmp_path / "out", INT8, calibration=lambda: black)
        assert "of accuracy on 12 images (95 % interval" in exported.withheld["student.int8.onnx"]
        assert exported.parity == {}
        assert [warning for _, warning in events] == [True]
        assert events[0][0].startswith("withheld: student.int8.onnx is not published: ")
        assert [file.name for file in (tmp_path / "out").iterdir()] == ["student.safetensors"]

    def test_what_the_quantiser_cannot_do(self, pictures: Pictures, tmp_path: Path) -> None:
        exported, _ = run(Averages(), pictures, tmp_path / "out", INT8)
        assert "cannot handle this architecture" in exported.withheld["student.int8.onnx"]


class Averages(nn.Module):
    """Has nothing that could be quantised."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3))


class TestAccuracyLoss:
    def test_is_paired(self) -> None:
        before = np.array([True] * 90 + [False] * 10)
        after = before.copy()
        after[:3], after[99] = False, True
        loss, (low, high) = accuracy_loss(before, after)
        assert loss == pytest.approx(0.02)
        # by hand: (3 - 1) / 102, and sqrt(5 - 4 / 102) / 102 around it
        assert (low, high) == (pytest.approx(-0.0232, abs=1e-4), pytest.approx(0.0624, abs=1e-4))

    @pytest.mark.parametrize(
        ("lost", "bound", "fits"), [(1, 0.0, True), (2, 0.0, False), (2, 0.02, True), (3, 0.02, False)]
    )
    def test_one_image_is_no_evidence(self, lost: int, bound: float, fits: bool) -> None:
        labels = np.zeros(100, np.int64)
        right = np.tile(np.array([[1.0, 0.0]], np.float32), (100, 1))
        worse = right.copy()
        worse[:lost] = (0.0, 1.0)
        if fits:
            assert check_accuracy("f", right, worse, labels, bound).accuracy_loss == pytest.approx(lost / 100)
        else:
            with pytest.raises(Withheld, match=f"loses {lost}.00% of accuracy"):
                check_accuracy("f", right, worse, labels, bound)


def test_rows_are_spread_over_all() -> None:
    assert spread(3, 10).tolist() == [0, 1, 2]
    assert spread(101, 5).tolist() == [0, 25, 50, 75, 100]
