"""Make the teacher that the demo reprograms: `python -m benchmarks.models.pretrain_teacher OUT_DIR`.

A small ResNet learns to read 62 printed characters. It never sees a handwritten one: crossing that gap is the demo's
point. Some fonts are held out to tell how well it reads a print that it does not know.

B batch, G glyphs (character × font), S side of an image in pixels.
"""

import argparse
import hashlib
import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor, nn

from benchmarks.models.glyphs import CHARACTERS, Glyphs, draw, font_files, load_glyphs

ARCHITECTURE = "resnet10t"
KWARGS: dict[str, Any] = {"channels": [32, 64, 112, 192]}
"""A quarter to a third of resnet10t's widths: 0.9 M parameters, under 2 MB in half precision."""
NAME = f"{ARCHITECTURE}.glyphs{len(CHARACTERS)}"
SIDE = 32
MEAN = STD = 0.5
HELD_OUT = ("DejaVuSerif", "STIXGeneralItalic", "cmss10")
"""One upright, one italic and one sans-serif font of three families, kept for measuring."""

STEPS = 2000
BATCH = 128
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.05
LABEL_SMOOTHING = 0.1
"""Some characters cannot be told apart without a line of text around them (0 O o, 1 l I): never be sure."""

log = logging.getLogger(__name__)


def pretrain(glyphs: Glyphs, pool_G: Tensor, *, steps: int, seed: int) -> nn.Module:
    """Train on the glyphs that `pool_G` indexes, each step on a fresh drawing of them.

    Returns:
        The network with its classifier, in eval mode.

    Raises:
        FloatingPointError: when the loss is no number any more, before the weights take it in.
    """
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    model: nn.Module = timm.create_model(ARCHITECTURE, num_classes=len(CHARACTERS), **KWARGS).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.1)
    for step in range(steps):
        index_B = pool_G[torch.randint(len(pool_G), (BATCH,), generator=rng)]
        logits_BK = model(_normalise(draw(glyphs, index_B, SIDE, rng)))
        loss = F.cross_entropy(logits_BK, glyphs.labels_G[index_B], label_smoothing=LABEL_SMOOTHING)
        if not loss.isfinite():
            raise FloatingPointError(f"The loss is not finite at step {step}")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            log.info("step %d of %d: loss %.3f", step + 1, steps, loss.item())
    return model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, glyphs: Glyphs, pool_G: Tensor, *, seed: int, drawings: int = 8) -> float:
    """Share of glyphs read correctly, each drawn `drawings` times with the training's own distortions."""
    rng = torch.Generator().manual_seed(seed)
    index = pool_G.repeat(drawings)
    right = [
        model(_normalise(draw(glyphs, index_B, SIDE, rng))).argmax(1) == glyphs.labels_G[index_B]
        for index_B in index.split(BATCH)
    ]
    return torch.cat(right).float().mean().item()


def publish(model: nn.Module, folder: Path, card: dict[str, object]) -> Path:
    """Write `NAME.safetensors` (half precision, without the classifier) and its card `NAME.json`.

    Returns:
        The weights' path.
    """
    model.reset_classifier(0)  # type: ignore[operator]
    state = {name: value.half() if value.is_floating_point() else value for name, value in model.state_dict().items()}
    content = save(state, metadata={"name": NAME})
    weights = folder / f"{NAME}.safetensors"
    weights.write_bytes(content)
    identity = {"name": NAME, "file": weights.name, "sha256": hashlib.sha256(content).hexdigest()}
    (folder / f"{NAME}.json").write_text(json.dumps({**identity, **card}, indent=1) + "\n", encoding="utf-8")
    return weights


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Pretrain the demo's teacher on printed glyphs.")
    parser.add_argument("out_dir", type=Path, help="folder for the weights and their card")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"optimiser steps of {BATCH} images")
    parser.add_argument("--seed", type=int, default=0, help="fixes initial weights and drawings")
    options = parser.parse_args(arguments)
    options.out_dir.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_flush_denormal(True)

    files = font_files()
    glyphs = load_glyphs(files)
    held_out = torch.tensor([path.stem in HELD_OUT for path in files])[glyphs.fonts_G]
    started = time.perf_counter()
    model = pretrain(glyphs, (~held_out).nonzero()[:, 0], steps=options.steps, seed=options.seed)
    seconds = time.perf_counter() - started
    read = accuracy(model, glyphs, held_out.nonzero()[:, 0], seed=options.seed + 1)
    weights = publish(
        model,
        options.out_dir,
        {
            "architecture": ARCHITECTURE,
            "kwargs": KWARGS,
            "mean": [MEAN] * 3,
            "std": [STD] * 3,
            "input_size": [3, SIDE, SIDE],
            "interpolation": "bicubic",
            "trained_on": f"0-9A-Za-z drawn from {len(files) - len(HELD_OUT)} fonts of matplotlib, augmented",
            "classifier": False,
            "accuracy": {"held-out fonts, augmented, 62 classes": round(read, 4)},
            "source": "python -m benchmarks.models.pretrain_teacher",
            "licence": "Apache-2.0",
            "steps": options.steps,
            "batch_size": BATCH,
            "seed": options.seed,
        },
    )
    log.info(
        "%s: %d bytes, %.1f %% of unknown print read, %.0f s", weights, weights.stat().st_size, 100 * read, seconds
    )


def _normalise(images_B3SS: Tensor) -> Tensor:
    return (images_B3SS - MEAN) / STD


if __name__ == "__main__":
    main()
