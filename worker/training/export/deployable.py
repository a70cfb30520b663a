"""The student as it leaves: an independent copy that is ready to be written."""

import copy
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version

import torch
from torch import Tensor, nn

from app.domain.manifest import Licences, Preprocessing

PRODUCER = "tdmr"


class Deployable(nn.Module):
    """Takes `images`, gives `logits`: the argument's name becomes the input's name in every format."""

    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        self.student = student

    def forward(self, images: Tensor) -> Tensor:
        return self.student(images)


def deployable(student: nn.Module) -> Deployable:
    """A deep copy on the CPU, float32, eval mode, default memory format. `student` itself is left as it is."""
    model = Deployable(copy.deepcopy(student)).to(device="cpu", dtype=torch.float32)
    model.to(memory_format=torch.contiguous_format)
    return model.eval().requires_grad_(False)


def with_attention_spelt_out(model: Deployable) -> Deployable | None:
    """A copy whose attention is two products and a softmax instead of one operation; None if it has no such choice.

    `fused_attn` is what timm calls the choice in each of its attention modules.
    """
    fused = [name for name, module in model.named_modules() if getattr(module, "fused_attn", False)]
    if not fused:
        return None
    spelt_out = copy.deepcopy(model)
    for name in fused:
        spelt_out.get_submodule(name).fused_attn = False  # type: ignore[assignment]
    return spelt_out


def example(image_size: int, batch: int = 2) -> Tensor:
    """Made-up input [B, 3, S, S] to follow a network with: 2 images, as tracers treat a dimension of 1 as fixed.

    From a generator of its own, so that an export does not disturb the random numbers of a run.
    """
    return torch.rand(batch, 3, image_size, image_size, generator=torch.Generator().manual_seed(0))


def metadata(
    classes: Sequence[str],
    preprocessing: Preprocessing,
    fingerprint: str,
    metrics: Mapping[str, float] | None = None,
    licences: Licences | None = None,
) -> dict[str, str]:
    """What every format carries inside, so that a file that lost its manifest can still be used rightly."""
    told = {
        "classes": json.dumps(list(classes), ensure_ascii=False),
        "preprocessing": preprocessing.model_dump_json(),
        "spec_fingerprint": fingerprint,
        "metrics": json.dumps(dict(metrics or {})),
        "producer": f"{PRODUCER} {version(PRODUCER)}",
    }
    return told if licences is None else told | {"licences": licences.model_dump_json()}
