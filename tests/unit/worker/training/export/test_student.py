"""Real small networks through every format, and exports that go wrong."""

import copy
import json
import re
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from operator import methodcaller
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from app.domain.config import ExportConfig, ExportFormat
from app.domain.errors import ExportFailed, ExportParityFailed
from app.domain.manifest import Parity, Preprocessing
from worker.training.export.format import normalise
from worker.training.export.formats import find
from worker.training.export.formats.torchscript import write_torchscript
from worker.training.export.parity import run_exported
from worker.training.export.prediction import predict
from worker.training.export.source import IR_VERSION, OPSET, wrapped
from worker.training.export.student import export_student
from worker.training.export.tolerance import check_parity

pytestmark = pytest.mark.slow

SIDE = 32
IMAGES = 35
CLASSES = ("ant", "bee", "Käfer")
PREPROCESSING = Preprocessing(
    resize_short_side=SIDE,
    center_crop=SIDE,
    interpolation="bicubic",
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)
PT2, TS, ONNX = ExportFormat.EXPORTED_PROGRAM, ExportFormat.TORCHSCRIPT, ExportFormat.ONNX


@dataclass
class Export:
    student: nn.Module
    images: np.ndarray
    paths: list[str]
    folder: Path
    parity: dict[str, Parity]
    events: list[tuple[str, str]]


def run(student: nn.Module, folder: Path, *formats: ExportFormat) -> Export:
    folder.mkdir(exist_ok=True)
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, SIDE, SIDE, 3), dtype=np.uint8)
    paths = [f"test/{row}.png" for row in range(IMAGES)]
    events: list[tuple[str, str]] = []
    exported = export_student(
        student,
        config=ExportConfig(formats=formats),
        out_dir=folder,
        image_size=SIDE,
        classes=CLASSES,
        preprocessing=PREPROCESSING,
        fingerprint="f" * 64,
        eval_images_u8=images,
        eval_paths=paths,
        on_event=lambda code, message: events.append((code, message)),
    )
    return Export(student, images, paths, folder, exported.parity, events)


def build(architecture: str, **arguments: Any) -> nn.Module:
    """With statistics and logits of a size that training gives; in train mode, as a run leaves it."""
    torch.manual_seed(0)
    network = timm.create_model(architecture, num_classes=len(CLASSES), **arguments)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    network.get_classifier().weight.data.mul_(10)
    return network.train()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Export:
    return run(build("test_resnet"), tmp_path_factory.mktemp("out") / "all", ONNX, TS, PT2)


class TestEveryFormat:
    def test_agrees_for_a_convolutional_network(self, exported: Export) -> None:
        self.check(exported)

    @pytest.mark.parametrize(
        ("architecture", "arguments"),
        [("mobilenetv3_small_050", {}), ("test_vit", {"img_size": SIDE}), ("test_convnext", {})],
    )
    def test_agrees_for_other_families(self, architecture: str, arguments: dict[str, Any], tmp_path: Path) -> None:
        self.check(run(build(architecture, **arguments), tmp_path / "out", ONNX, TS, PT2))

    def check(self, export: Export) -> None:
        names = {"student.onnx", "student.ts", "student.pt2"}
        assert set(export.parity) == names
        assert {file.name for file in export.folder.iterdir()} == {*names, "student.safetensors"}
        for parity in export.parity.values():
            assert (parity.images, parity.top1_agreement) == (IMAGES, 1.0)
            assert parity.max_logit_difference <= 1e-4
        assert [code for code, _ in export.events] == ["exported"] * 3
        assert "student.ts (traced, " in export.events[1][1]


class TestFiles:
    def test_onnx_is_one_file_with_named_ends_and_a_free_batch(self, exported: Export) -> None:
        model = onnx.load(exported.folder / "student.onnx", load_external_data=False)
        (images,), (logits,) = model.graph.input, model.graph.output
        assert (images.name, logits.name) == ("images", "logits")
        assert (
            images.type.tensor_type.shape.dim[0].dim_param == logits.type.tensor_type.shape.dim[0].dim_param == "batch"
        )
        assert [dim.dim_value for dim in images.type.tensor_type.shape.dim][1:] == [3, SIDE, SIDE]
        assert model.opset_import[0].version == OPSET
        assert model.ir_version == IR_VERSION
        assert not any(onnx.external_data_helper.uses_external_data(value) for value in model.graph.initializer)

    def test_each_carries_classes_and_preprocessing(self, exported: Export) -> None:
        model = onnx.load(exported.folder / "student.onnx")
        inside_onnx = {item.key: item.value for item in model.metadata_props}
        wanted = {"classes": "", "preprocessing": "", "spec_fingerprint": ""}
        inside_ts, inside_pt2 = dict(wanted), dict(wanted)
        torch.jit.load(exported.folder / "student.ts", _extra_files=inside_ts)
        torch.export.load(exported.folder / "student.pt2", extra_files=inside_pt2)
        with safe_open(exported.folder / "student.safetensors", "pt") as weights:
            inside_weights = weights.metadata()
        for inside in (inside_onnx, inside_ts, inside_pt2, inside_weights):
            assert json.loads(inside["classes"]) == list(CLASSES)
            assert Preprocessing.model_validate_json(inside["preprocessing"]) == PREPROCESSING
            assert inside["spec_fingerprint"] in ("f" * 64, b"f" * 64)  # TorchScript hands out bytes

    def test_safetensors_holds_the_state_dict_for_timm(self, exported: Export) -> None:
        state = load_file(exported.folder / "student.safetensors")
        again = timm.create_model("test_resnet", num_classes=len(CLASSES))
        again.load_state_dict(state)
        for name, value in exported.student.state_dict().items():
            assert torch.equal(again.state_dict()[name], value)

    def test_no_file_names_a_path_of_this_machine(self, exported: Export) -> None:
        packages = Path(torch.__file__).parents[1]
        forbidden = re.compile(b"|".join(re.escape(str(path).encode()) for path in (packages, Path.cwd(), Path.home())))
        for file in exported.folder.iterdir():
            contents = [file.read_bytes()]
            if zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as archive:
                    contents = [archive.read(name) for name in archive.namelist()]
            for content in contents:
                assert not forbidden.search(content), file.name
                assert b"site-packages" not in content, file.name

    def test_are_checked_without_the_system_s_temporary_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It may be a small one in memory, and the images that a file is checked on may be many gigabytes."""
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
        exported = run(build("test_resnet"), tmp_path / "out", TS)
        assert {path.name for path in exported.folder.iterdir()} == {"student.safetensors", "student.ts"}

    def test_the_student_is_left_as_it_was(self, tmp_path: Path) -> None:
        student = build("test_resnet")
        student.layer1.eval()
        before, modes = copy.deepcopy(student.state_dict()), [module.training for module in student.modules()]
        drawn = torch.get_rng_state()
        run(student, tmp_path / "out", ExportFormat.TORCHSCRIPT)
        assert all(torch.equal(before[name], value) for name, value in student.state_dict().items())
        assert [module.training for module in student.modules()] == modes
        assert all(parameter.requires_grad for parameter in student.parameters())
        assert torch.equal(torch.get_rng_state(), drawn)


class TestParity:
    @pytest.fixture
    def expected(self, exported: Export) -> np.ndarray:
        mean, std = PREPROCESSING.mean, PREPROCESSING.std
        return predict(exported.student, exported.images, mean, std, batch_size=7, device="cpu")

    def test_catches_one_altered_weight(self, exported: Export, expected: np.ndarray, tmp_path: Path) -> None:
        model = onnx.load(exported.folder / "student.onnx")
        weight = next(item for item in model.graph.initializer if len(item.dims) == 4)
        values = onnx.numpy_helper.to_array(weight).copy()
        values.flat[0] += 0.05
        weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
        altered = tmp_path / "student.onnx"
        onnx.save(model, altered)

        good = run_exported(find(ONNX), exported.folder / "student.onnx", exported.images, PREPROCESSING)
        assert check_parity("student.onnx", expected, good, exported.paths, 1e-4).top1_agreement == 1.0
        bad = run_exported(find(ONNX), altered, exported.images, PREPROCESSING)
        with pytest.raises(ExportParityFailed, match=r"student\.onnx does not compute .* first on 'test/\d+\.png'"):
            check_parity("student.onnx", expected, bad, exported.paths, 1e-4)

    @pytest.mark.parametrize(
        ("convert", "kind", "bound"),
        [
            (methodcaller("half"), torch.float16, 0.05),
            (methodcaller("to", torch.float16), torch.float16, 0.05),
            (methodcaller("to", torch.float64), torch.float64, 1e-4),
            (methodcaller("to", "cpu"), torch.float32, 1e-4),
        ],
        ids=["half", "to float16", "to float64", "to a device"],
    )
    def test_torchscript_is_not_frozen_and_can_be_converted(
        self,
        exported: Export,
        expected: np.ndarray,
        convert: Callable[[torch.jit.ScriptModule], torch.jit.ScriptModule],
        kind: torch.dtype,
        bound: float,
    ) -> None:
        """As docs/exports.md says; float16 keeps 11 bits of a number, and the logits are of the order of 10."""
        model = convert(torch.jit.load(exported.folder / "student.ts"))
        assert {weight.dtype for weight in model.parameters()} == {kind}
        images = torch.from_numpy(normalise(exported.images, PREPROCESSING.mean, PREPROCESSING.std))
        with torch.inference_mode():
            logits = model(images.to(kind))
        assert logits.dtype is kind
        assert np.abs(logits.float().numpy() - expected).max() < bound

    def test_torchscript_that_its_user_freezes_stays_as_it_is(self, exported: Export, expected: np.ndarray) -> None:
        """As docs/exports.md says too; and so the test above would notice a file that is frozen."""
        model = torch.jit.freeze(torch.jit.load(exported.folder / "student.ts").eval()).half()
        assert list(model.parameters()) == []
        images = torch.from_numpy(normalise(exported.images, PREPROCESSING.mean, PREPROCESSING.std))
        with torch.inference_mode():
            assert np.abs(model(images).numpy() - expected).max() < 1e-4
            with pytest.raises(RuntimeError):
                model(images.half())

    def test_publishes_nothing_that_disagrees(self, tmp_path: Path) -> None:
        with pytest.raises(ExportParityFailed, match=r"student\.pt2") as failure:
            run(
                Custom(lambda logits: logits + 0.001 if torch.compiler.is_exporting() else logits),
                tmp_path / "out",
                PT2,
            )
        assert "'test/0.png'" in failure.value.detail
        assert [file.name for file in (tmp_path / "out").iterdir()] == ["student.safetensors"]


class Custom(nn.Module):
    """A linear classifier with something behind it."""

    def __init__(self, after: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.pool = nn.AvgPool2d(8)
        self.head = nn.Linear(3 * (SIDE // 8) ** 2, len(CLASSES))
        self.after = after

    def forward(self, images: Tensor) -> Tensor:
        return self.after(self.head(self.pool(images).flatten(1)))


class Branching(nn.Module):
    """Takes another way for a batch of one: a trace would remember the way it saw."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.pool = nn.AvgPool2d(8)
        self.head = nn.Linear(3 * (SIDE // 8) ** 2, len(CLASSES))

    def forward(self, images: Tensor) -> Tensor:
        logits = self.head(self.pool(images).flatten(1))
        if logits.shape[0] == 1:
            return logits * 2
        return logits


class Windows(nn.Module):
    """Attends within windows, as timm's Twins do: batch, windows, heads, length, width."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fused_attn = True
        self.head = nn.Linear(3 * SIDE**2, len(CLASSES))

    def forward(self, images: Tensor) -> Tensor:
        windows = images.reshape(-1, 4, 3, SIDE // 4, SIDE)
        if self.fused_attn:
            seen = functional.scaled_dot_product_attention(windows, windows, windows)
        else:
            seen = (windows @ windows.mT / SIDE**0.5).softmax(-1) @ windows
        logits: Tensor = self.head(seen.flatten(1))
        return logits


class TestHardNetworks:
    def test_attention_that_onnx_does_not_know_is_spelt_out(self, tmp_path: Path) -> None:
        export = run(Windows(), tmp_path / "out", ONNX)
        assert export.parity["student.onnx"].max_logit_difference <= 1e-4

    def test_scripts_what_a_trace_does_not_hold_for(self, tmp_path: Path) -> None:
        # as a student it is odd: an image's logits depend on how many come with it, so validation refuses it later
        student = wrapped(Branching())
        path = tmp_path / "student.ts"
        assert write_torchscript(student, SIDE, path, {}, 1e-4) == "scripted"
        script = torch.jit.load(path)
        for batch in (1, 3):
            images = torch.rand(batch, 3, SIDE, SIDE)
            torch.testing.assert_close(script(images), student(images))

    @pytest.mark.parametrize("chosen", [PT2, ONNX])
    def test_what_depends_on_the_data_cannot_be_captured(self, chosen: ExportFormat, tmp_path: Path) -> None:
        def by_value(logits: Tensor) -> Tensor:
            return logits if logits.sum() > 0 else -logits

        with pytest.raises(ExportFailed) as failure:
            run(Custom(by_value), tmp_path / "out", chosen)
        assert f"'{chosen}'" in failure.value.detail
        assert "\n" not in failure.value.detail
        assert "formats" in (failure.value.hint or "")
        assert not isinstance(failure.value, ExportParityFailed)

    def test_what_can_be_neither_traced_nor_scripted_is_refused(self, tmp_path: Path) -> None:
        def outside(logits: Tensor) -> Tensor:
            return torch.from_numpy(logits.numpy().round()) if len(logits) == 1 else logits

        with pytest.raises(ExportFailed, match="neither traced nor scripted"):
            run(Custom(outside), tmp_path / "out", TS)
