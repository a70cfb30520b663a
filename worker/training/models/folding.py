"""Batch norms of a frozen network, folded into the convolutions in front of them.

A frozen batch norm multiplies and adds by channel, which a convolution can do at no cost:
γ·(w∗x + b − μ)/σ + β = (γ/σ·w)∗x + γ/σ·(b − μ) + β. What goes is one way through memory for each norm.
"""

import copy
from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

LARGEST_DIFFERENCE = 1e-3
"""Of any answer, relative to the answers' own size: float32 rounding through a deep network stays well below it."""

Ask = Callable[[nn.Module], Sequence[Tensor]]
"""What is read of a network, on images of its own choice."""


@torch.no_grad()
def fold_batch_norms(network: nn.Module, ask: Ask) -> nn.Module:
    """A network that answers the same, without the batch norms that take what a convolution gives.

    The pairs are found while the network answers, and the answers are compared. Where they differ, or where the network
    cannot be taken apart, `network` itself is returned.

    Args:
        network: frozen and in eval mode. It is not changed.
    """
    expected, pairs = _followed(network, ask)
    if not pairs:
        return network
    folded = copy.deepcopy(network)
    for conv_name, norm_name in pairs:
        conv, norm = folded.get_submodule(conv_name), folded.get_submodule(norm_name)
        assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        folded.set_submodule(conv_name, fuse_conv_bn_eval(conv, norm))
        folded.set_submodule(norm_name, getattr(norm, "act", nn.Identity()))  # timm's hold their activation
    try:
        return folded if all(map(_is_close, ask(folded), expected)) else network
    except (AttributeError, RuntimeError, TypeError):  # some networks look into their norms
        return network


def _followed(network: nn.Module, ask: Ask) -> tuple[Sequence[Tensor], list[tuple[str, str]]]:
    """The answers, and the names of convolutions with the batch norm that each was followed by; each called once."""
    made: dict[int, tuple[str, Tensor]] = {}  # with the tensor, as a later one could get the same id
    pairs: list[tuple[str, str]] = []
    calls: Counter[str] = Counter()

    def record(name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        calls[name] += 1
        if isinstance(module, nn.Conv2d):
            made[id(output)] = name, output
        elif inputs and id(inputs[0]) in made and module.running_mean is not None:
            pairs.append((made[id(inputs[0])][0], name))

    handles = [
        module.register_forward_hook(lambda *call, name=name: record(name, *call))
        for name, module in network.named_modules()
        if isinstance(module, (nn.Conv2d, nn.BatchNorm2d))
    ]
    try:
        answers = ask(network)
    finally:
        for handle in handles:
            handle.remove()
    return answers, [(conv, norm) for conv, norm in pairs if calls[conv] == calls[norm] == 1]


def _is_close(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).abs().max() <= LARGEST_DIFFERENCE * other.abs().max())
