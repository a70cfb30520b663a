import hashlib
import itertools
import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from app.domain.errors import ModelNotBuildable, WeightsUnavailable
from worker.training.models.loading import load
from worker.training.models.networks import build_student, build_teacher
from worker.training.models.taps import TappedModel

# a CNN, a transformer with a class token, one whose `forward_intermediates` fails in timm 1.0.31, a hybrid, an MLP,
# and one with three stages
FAMILIES = {
    "test_resnet": 64,
    "test_vit": 64,
    "test_vit_relpos": 160,
    "mobilevit_xxs": 64,
    "mixer_s32_224": 224,
    "levit_128s": 224,
}


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
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
        teacher = build_teacher("test_resnet.mine", None, models_dir)
        assert teacher.image_size == 48
        assert teacher.std.flatten().tolist() == [0.25] * 3
        torch.manual_seed(1)
        expected = timm.create_model("test_resnet", num_classes=0)
        got = load("test_resnet.mine", None, models_dir).network.state_dict()
        for name, value in expected.state_dict().items():
            torch.testing.assert_close(got[name], value, atol=1e-3, rtol=1e-3)

    def test_refuses_a_file_that_differs_from_its_card(self, models_dir: Path) -> None:
        path = models_dir / "test_resnet.mine.safetensors"
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        with pytest.raises(WeightsUnavailable, match="SHA-256"):
            build_teacher("test_resnet.mine", None, models_dir)

    def test_refuses_weights_of_another_architecture(self, models_dir: Path) -> None:
        card = json.loads((models_dir / "test_resnet.mine.json").read_text())
        (models_dir / "test_resnet.mine.json").write_text(json.dumps(card | {"architecture": "test_convnext"}))
        with pytest.raises(WeightsUnavailable, match="do not fit"):
            build_teacher("test_resnet.mine", None, models_dir)

    @pytest.mark.parametrize("name", ["no_such_net", "no_such_net.random"])
    def test_names_an_unknown_architecture(self, name: str) -> None:
        with pytest.raises(ModelNotBuildable, match="no_such_net"):
            build_teacher(name, None)

    def test_names_unknown_weights(self) -> None:
        with pytest.raises(WeightsUnavailable, match=r"resnet18\.nobody"):
            build_teacher("resnet18.nobody", None)


class Plain(torch.nn.Module):
    """What timm's networks have in common, without `forward_intermediates`; channels last inside, as Swin is."""

    def __init__(self) -> None:
        super().__init__()
        widths = [3, 4, 6, 8, 10, 12]
        self.stages = torch.nn.ModuleList(torch.nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        self.feature_info = [{"num_chs": c, "module": f"stages.{i}"} for i, c in enumerate(widths[1:])]
        self.fc = torch.nn.Linear(12, 3)

    def forward_features(self, images_BCHW: Tensor) -> Tensor:
        x_BHWC = images_BCHW.permute(0, 2, 3, 1)
        for stage in self.stages:
            x_BHWC = stage(x_BHWC).relu()
        return x_BHWC

    def forward_head(self, features_BHWC: Tensor, pre_logits: bool = False) -> Tensor:
        pooled: Tensor = features_BHWC.mean((1, 2))
        return pooled if pre_logits else self.fc(pooled)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(images_BCHW))

    def get_classifier(self) -> torch.nn.Module:
        return self.fc


class Crooked(Plain):
    """`forward_intermediates` computes something else than the network."""

    def forward_intermediates(self, images_BCHW: Tensor, indices: list[int]) -> tuple[Tensor, list[Tensor]]:
        features = self.forward_features(images_BCHW) + 1
        return features, [features.permute(0, 3, 1, 2)] * len(indices)


class Missing(Plain):
    """Names stages that it does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_info = [{"num_chs": 1, "module": "nowhere"}]


class TestTappedModel:
    @pytest.mark.parametrize("network", [Plain, Crooked])
    def test_reads_stages_by_hooks_that_do_not_stay(self, network: type[Plain]) -> None:
        tapped, images = TappedModel(network()), torch.rand(2, 3, 5, 5)
        assert tapped.choose_way(images)
        assert tapped.way == "hooks"
        stages, features = tapped(images)
        assert [stage.shape for stage in stages] == [(2, 6), (2, 8), (2, 10), (2, 12)]
        assert torch.equal(tapped.head(features), tapped.model(images))
        assert not any(module._forward_hooks for module in tapped.modules())

    def test_does_without_stages_where_none_can_be_read(self) -> None:
        tapped, images = TappedModel(Missing()), torch.rand(2, 3, 5, 5)
        assert tapped.choose_way(images)
        assert tapped(images)[0] == []


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

    @pytest.mark.parametrize("architecture", ["test_resnet", "test_vit", "mobilenetv3_small_050"])
    def test_answers_with_what_its_classifier_sees(self, architecture: str) -> None:
        student = build_student(architecture, 3, 64).eval()
        images = torch.rand(2, 3, 64, 64)
        with torch.no_grad():
            answer, (stages, logits) = student.answer(images), student(images)
            again = student.network.get_classifier()(answer.pre_logits)  # type: ignore[operator]
        assert answer.pre_logits.shape == (2, student.pre_logits_width)
        assert torch.equal(answer.logits, logits)
        assert all(torch.equal(a, b) for a, b in zip(answer.stages, stages, strict=True))
        torch.testing.assert_close(again, logits, atol=1e-5, rtol=1e-5)

    def test_pre_logits_of_two_classifiers_are_their_mean(self) -> None:
        student = build_student("deit_tiny_distilled_patch16_224", 3, 32).eval()
        images = torch.rand(2, 3, 32, 32)
        with torch.no_grad():
            expected = student.tapped.head(student.read(images)[1], pre_logits=True)  # timm's own mean
            torch.testing.assert_close(student.answer(images).pre_logits, expected)

    def test_starts_from_local_weights_with_a_new_classifier(self, models_dir: Path) -> None:
        torch.manual_seed(1)
        expected = timm.create_model("test_resnet", num_classes=0).state_dict()
        student = build_student("test_resnet.mine", 3, 32, pretrained=True, models_dir=models_dir)
        got = student.network.state_dict()
        for name, value in expected.items():
            torch.testing.assert_close(got[name], value, atol=1e-3, rtol=1e-3)
        assert {name: tuple(got[name].shape) for name in got.keys() - expected.keys()} == {
            "fc.weight": (3, 96),
            "fc.bias": (3,),
        }
        assert student.normalisation == {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
        assert student.training

    def test_a_tag_says_nothing_from_scratch(self, models_dir: Path) -> None:
        one: list[Tensor] = []
        other: list[Tensor] = []
        for names, name in ((one, "test_resnet"), (other, "test_resnet.mine")):
            torch.manual_seed(2)
            student = build_student(name, 3, 32)
            assert student.architecture == "test_resnet"
            names.extend(student.state_dict().values())
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))

    @pytest.mark.parametrize("name", ["test_resnet.nobody", "test_resnet.random"])
    def test_says_when_there_are_no_pretrained_weights(self, name: str) -> None:
        with pytest.raises(WeightsUnavailable, match=name):
            build_student(name, 3, 32, pretrained=True)

    def test_says_when_a_size_cannot_be_built(self) -> None:
        with pytest.raises(ModelNotBuildable, match="17 px"):
            build_student("test_vit", 3, 17)
