import hashlib
import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from app.domain.errors import ModelNotBuildable, WeightsUnavailable
from worker.training.models import build_student, build_teacher

# a CNN, a transformer with a class token, a hybrid, an MLP, and one with three stages
FAMILIES = {
    "test_resnet": 64,
    "test_vit": 64,
    "mobilevit_xxs": 64,
    "mixer_s32_224": 224,
    "levit_128s": 224,
}


@pytest.fixture
def models_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one local teacher, `test_resnet.mine`."""
    torch.manual_seed(1)
    model = timm.create_model("test_resnet", num_classes=0)
    path = tmp_path / "test_resnet.mine.safetensors"
    save_file(
        {name: value.half() if value.is_floating_point() else value for name, value in model.state_dict().items()}, path
    )
    card = {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "architecture": "test_resnet",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
        "input_size": [3, 48, 48],
    }
    (tmp_path / "test_resnet.mine.json").write_text(json.dumps(card))
    monkeypatch.setenv("TDMR_MODELS_DIR", str(tmp_path))
    return tmp_path


class TestTeacher:
    @pytest.mark.parametrize(("architecture", "side"), FAMILIES.items())
    def test_every_family_has_stages_and_a_pre_logits_vector(self, architecture: str, side: int) -> None:
        teacher = build_teacher(f"{architecture}.random", side)
        taps = teacher(torch.rand(2, 3, side, side))
        assert [tap.shape for tap in taps] == [(2, width) for width in teacher.widths]
        assert 4 <= len(taps) <= 5
        assert all(torch.isfinite(tap).all() and tap.std() > 0 for tap in taps)

    def test_stays_frozen_and_in_eval_mode_whatever_its_parent_does(self) -> None:
        teacher = build_teacher("test_resnet.random", 32)
        before = teacher.digest()
        parent = torch.nn.ModuleList([teacher]).train()
        parent[0](torch.rand(8, 3, 32, 32))
        assert not any(module.training for module in teacher.modules())
        assert not any(parameter.requires_grad for parameter in teacher.parameters())
        assert teacher.digest() == before

    def test_reads_local_weights_with_their_normalisation(self, models_dir: Path) -> None:
        teacher = build_teacher("test_resnet.mine", None)
        assert teacher.image_size == 48
        assert teacher.std.flatten().tolist() == [0.25] * 3
        torch.manual_seed(1)
        expected = timm.create_model("test_resnet", num_classes=0)
        got = teacher.tapped.model.state_dict()
        for name, value in expected.state_dict().items():
            torch.testing.assert_close(got[name], value, atol=1e-3, rtol=1e-3)

    def test_refuses_a_file_that_differs_from_its_card(self, models_dir: Path) -> None:
        path = models_dir / "test_resnet.mine.safetensors"
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        with pytest.raises(WeightsUnavailable, match="SHA-256"):
            build_teacher("test_resnet.mine", None)

    def test_refuses_weights_of_another_architecture(self, models_dir: Path) -> None:
        card = json.loads((models_dir / "test_resnet.mine.json").read_text())
        (models_dir / "test_resnet.mine.json").write_text(json.dumps(card | {"architecture": "test_convnext"}))
        with pytest.raises(WeightsUnavailable, match="do not fit"):
            build_teacher("test_resnet.mine", None)

    @pytest.mark.parametrize("name", ["no_such_net", "no_such_net.random"])
    def test_names_an_unknown_architecture(self, name: str) -> None:
        with pytest.raises(ModelNotBuildable, match="no_such_net"):
            build_teacher(name, None)

    def test_names_unknown_weights(self) -> None:
        with pytest.raises(WeightsUnavailable, match=r"resnet18\.nobody"):
            build_teacher("resnet18.nobody", None)


class TestStudent:
    @pytest.mark.parametrize(("architecture", "side"), FAMILIES.items())
    def test_taps_do_not_change_what_is_computed(self, architecture: str, side: int) -> None:
        student = build_student(architecture, 3, side).eval()
        images = torch.rand(2, 3, side, side)
        with torch.no_grad():
            stages, logits = student(images)
            direct = student.network((images - student.mean) / student.std)
        torch.testing.assert_close(logits, direct, atol=1e-5, rtol=1e-5)
        assert [stage.shape[1] for stage in stages] == student.widths

    def test_says_when_a_size_cannot_be_built(self) -> None:
        with pytest.raises(ModelNotBuildable, match="17 px"):
            build_student("test_vit", 3, 17)
