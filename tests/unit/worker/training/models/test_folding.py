"""Networks whose batch norms have something to say, as those of trained teachers do."""

from collections.abc import Sequence

import pytest
import timm
import torch
from torch import Tensor, nn

from worker.training.models.folding import fold_batch_norms
from worker.training.models.networks import build_teacher, state_digest

IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def seasoned(network: nn.Module) -> nn.Module:
    draw = torch.Generator().manual_seed(1)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for values, least in (
                (norm.running_mean, -0.5),
                (norm.running_var, 0.5),
                (norm.weight, 0.5),
                (norm.bias, 0),
            ):
                assert values is not None
                values.data.uniform_(least, least + 1, generator=draw)
    return network.eval()


def ask(network: nn.Module) -> Sequence[Tensor]:
    with torch.no_grad():
        return [network(IMAGES)]


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("architecture", ["test_resnet", "test_efficientnet", "test_mambaout", "test_vit"])
def test_the_folded_network_answers_the_same(architecture: str) -> None:
    torch.manual_seed(0)
    network = seasoned(timm.create_model(architecture, num_classes=0))
    before = state_digest(network)

    folded = fold_batch_norms(network, ask)

    assert norms(folded) == 0
    (answer,), (expected,) = ask(folded), ask(network)
    assert torch.allclose(answer, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert state_digest(network) == before


class ReadsTheConvolutionToo(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> Tensor:
        made = self.conv(images)
        return self.norm(made) + made


class NormFirst(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        made: Tensor = self.conv(self.norm(images))
        return made


class LooksIntoItsNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> Tensor:
        made: Tensor = self.norm(self.conv(images)) * self.norm.eps
        return made


class TakesItTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)

    def forward(self, images: Tensor) -> Tensor:
        made: Tensor = self.norm(self.conv(self.norm(self.conv(images))))
        return made


@pytest.mark.parametrize("kind", [ReadsTheConvolutionToo, NormFirst, LooksIntoItsNorm, TakesItTwice])
def test_what_cannot_be_folded_stays_as_it_is(kind: type[nn.Module]) -> None:
    network = seasoned(kind())

    assert fold_batch_norms(network, ask) is network


def test_a_teacher_is_folded() -> None:
    teacher = build_teacher("test_resnet.random", 32)

    assert norms(teacher.network) == 0
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
