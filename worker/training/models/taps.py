"""Reading a network's stages while it runs: any of timm's families.

B batch, C channels, P prefix tokens, L tokens.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

STAGES = 4

Way = Literal["intermediates", "hooks", "none"]
_WAYS: tuple[Way, ...] = ("intermediates", "hooks", "none")
# timm lists every block of a transformer or mixer, but only the handful of stages of a staged model
_MOST_STAGES = 6


class TappedModel(nn.Module):
    """A timm network whose stages can be read.

    Depths read: for models that list their n blocks, blocks ⌊n·k/4⌋ − 1, k = 1..4; for staged models the last four
    stages. A stage is pooled to its spatial mean; where there is a class token, that is appended.

    Three ways to read, of which `choose_way` takes the first that leaves the network's own answer as it is: timm's
    `forward_intermediates`, which all of timm 1.0.31 has; hooks on the modules that `feature_info` names (what
    `features_only` would do too), as in some networks that method is broken; no stages at all, as the pre-logits
    vector still serves.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.way: Way = "intermediates"
        self._info: list[dict[str, Any]] = [dict(item) for item in getattr(model, "feature_info", None) or ()]
        self._options: dict[str, bool] = {}
        if "return_prefix_tokens" in inspect.signature(getattr(model, "forward_intermediates", object)).parameters:
            self._options["return_prefix_tokens"] = True
        count = len(self._info)
        self.indices = (
            [count * k // STAGES - 1 for k in range(1, STAGES + 1)]
            if count > _MOST_STAGES
            else list(range(max(0, count - STAGES), count))
        )

    @torch.no_grad()
    def choose_way(self, images_BCHW: Tensor) -> bool:
        """Choose by these images, in the present mode. Returns False where even the plain way computes something else.

        Raises:
            whatever the network itself raises for such images.
        """
        expected = self.model(images_BCHW)
        for way in _WAYS if self.indices else _WAYS[-1:]:
            self.way = way
            try:
                features = self(images_BCHW)[1]
                answer = self.head(features)
            except (AssertionError, AttributeError, LookupError, NameError, RuntimeError, TypeError, ValueError):
                continue  # e.g. timm 1.0.31's ViT with relative positions forgets a variable
            # what is trained through the taps is exported without them
            if torch.allclose(answer, expected.flatten(1), atol=1e-4, rtol=1e-4):
                return True
        return False

    def forward(self, images_BCHW: Tensor) -> tuple[list[Tensor], Any]:
        """Returns the pooled stages, shallow to deep, each float32 [B, C_l], and the features that `head` takes."""
        model: Any = self.model
        if self.way == "intermediates":
            features, maps = model.forward_intermediates(images_BCHW, indices=self.indices, **self._options)
            return [_pool(item) for item in maps], features
        with self._hooked() as outputs:
            features = model.forward_features(images_BCHW)
        prefix = int(getattr(model, "num_prefix_tokens", 0))
        return [_pool_any(outputs[i], self._info[i]["num_chs"], prefix) for i in sorted(outputs)], features

    def head(self, features: Any, *, pre_logits: bool = False) -> Tensor:
        model: Any = self.model
        return cast(Tensor, model.forward_head(features, pre_logits=pre_logits)).flatten(1)

    def heads(self, features: Any) -> tuple[Tensor, Tensor]:
        """Pre-logits and logits in one pass: a second one would move the statistics of a head's batch norms twice.

        Pre-logits are what the classifier is given, the mean where a network has several.
        """
        model: Any = self.model
        classifiers = model.get_classifier()
        given: list[Tensor] = []
        handles = [
            classifier.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0].flatten(1)))
            for classifier in (classifiers if isinstance(classifiers, tuple) else (classifiers,))
        ]
        try:
            logits = self.head(features)
        finally:
            for handle in handles:
                handle.remove()
        return torch.stack(given).mean(0) if given else self.head(features, pre_logits=True), logits

    @contextmanager
    def _hooked(self) -> Iterator[dict[int, Tensor]]:
        """What the stages' modules give while this is open. The hooks go again: copies and exports must have none."""
        outputs: dict[int, Tensor] = {}
        handles = []
        try:
            for i in self.indices if self.way == "hooks" else ():
                module = self.model.get_submodule(self._info[i]["module"])
                handles.append(module.register_forward_hook(lambda _m, _in, out, i=i: outputs.__setitem__(i, out)))
            yield outputs
        finally:
            for handle in handles:
                handle.remove()


def _pool(item: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    if isinstance(item, tuple):
        map_BCHW, prefix_BPC = item
        pooled_BC = map_BCHW.mean((2, 3), dtype=torch.float32)
        return torch.cat([pooled_BC, prefix_BPC[:, 0].float()], 1) if prefix_BPC.shape[1] else pooled_BC
    return item.mean((2, 3), dtype=torch.float32)


def _pool_any(output: Tensor, channels: int, prefix: int) -> Tensor:
    """Of a module's raw output, which may be BCHW, BHWC or tokens BLC with the prefix tokens first."""
    if output.ndim == 3:
        pooled_BC = output[:, prefix:].mean(1, dtype=torch.float32)
        return torch.cat([pooled_BC, output[:, 0].float()], 1) if prefix else pooled_BC
    return output.mean((2, 3) if output.shape[1] == channels else (1, 2), dtype=torch.float32)
