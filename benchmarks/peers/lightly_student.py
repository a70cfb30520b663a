"""LightlyTrain's part of `benchmarks.peers.compare`: a student that learns a teacher's features, without labels.

It runs in an environment of its own and imports nothing of this project. LightlyTrain is under the AGPL, and ours is
not: the two meet in files only.

    build/peers/bin/python benchmarks/peers/lightly_student.py --images FOLDER … --weights FOLDER --out FOLDER …

`--weights` is a folder as TDMR_MODELS_DIR, with weights.json. `--out` becomes another that holds the student under its
old name, with report.json: what it took.
"""

import argparse
import hashlib
import json
import math
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import lightly_train  # type: ignore[import-not-found]
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

# B images, C channels, H W pixels, D features

CARDS = "weights.json"
_KIB_IN_A_MIB = 1024


class Wrapped(nn.Module):
    """What LightlyTrain asks of a network.

    Its own wrapper of timm's networks does not do for an EfficientNet: the features are those of the last block, of 320
    channels here, and the dimension that it names is that of the layer after it, 1280.
    """

    def __init__(self, network: nn.Module, side: int | None = None) -> None:
        """
        Args:
            side: in pixels, to which the views are resized first; None: as they come.
        """
        super().__init__()
        self.network = network
        self.side = side

    def get_model(self) -> nn.Module:
        return self.network

    def feature_dim(self) -> int:
        return int(self.network.num_features)  # type: ignore[arg-type]

    def forward_features(self, x: Tensor) -> dict[str, Tensor]:
        if self.side is not None:
            x = F.interpolate(x, size=(self.side, self.side), mode="bicubic", align_corners=False)
        features_BDHW: Tensor = self.network.forward_features(x)  # type: ignore[operator]
        return {"features": features_BDHW}

    def forward_pool(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"pooled_features": x["features"].mean((2, 3), keepdim=True)}

    def architecture_info(self) -> dict[str, str]:
        """Decides the weight decay."""
        return {"model_type": "convolutional", "norm_type": "batchnorm"}


class Teacher(Wrapped):
    """Never in training mode: its batch norms would follow the mixed views."""

    def train(self, mode: bool = True) -> "Teacher":
        super().train(False)
        return self


def main() -> int:
    began = time.monotonic()
    arguments = _options()
    torch.set_num_threads(arguments.threads)
    cards = json.loads((arguments.weights / CARDS).read_bytes())
    card, teacher_card = cards[arguments.student], cards[arguments.teacher]
    for statistic in ("mean", "std"):  # the same views go to both
        if card[statistic] != teacher_card[statistic]:
            raise ValueError(f"teacher and student are normalised by another {statistic}")
    images = sum(path.is_file() for folder in arguments.images for path in folder.rglob("*"))
    steps = arguments.image_steps // arguments.batch_size
    with tempfile.TemporaryDirectory() as scratch:
        exported = _train(arguments, card, teacher_card, images, steps, Path(scratch, "run"))
        arguments.out.mkdir(parents=True, exist_ok=True)
        _write(arguments.out, arguments.student, card, exported)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB_IN_A_MIB
    report = {
        "images": images,
        "steps": steps,
        "seconds": round(time.monotonic() - began, 1),
        "cpu_seconds": round(time.process_time(), 1),
        "peak_rss_mib": round(peak, 1),
        "versions": {
            "python": sys.version.partition(" ")[0],
            "torch": torch.__version__,
            "timm": timm.__version__,
            "lightly_train": lightly_train.__version__,
        },
    }
    (arguments.out / "report.json").write_text(json.dumps(report))
    return 0


def _train(
    arguments: argparse.Namespace,
    card: dict[str, Any],
    teacher_card: dict[str, Any],
    images: int,
    steps: int,
    out: Path,
) -> dict[str, Tensor]:
    """The trained student's weights."""
    side = arguments.image_size
    lightly_train.pretrain(
        out=out,
        data=[str(folder) for folder in arguments.images],  # it writes its arguments down as JSON
        model=Wrapped(_network(arguments.weights, card)),
        method=arguments.method,
        method_args={"teacher": Teacher(_network(arguments.weights, teacher_card), arguments.teacher_size)},
        # the whole schedule fits into the steps: they end it, within its last epoch
        epochs=math.ceil(steps / max(1, images // arguments.batch_size)),
        trainer_args={"max_steps": steps, "enable_checkpointing": False},  # nobody goes on from a checkpoint here
        batch_size=arguments.batch_size,
        optim="adamw",
        optim_args={"lr": arguments.learning_rate},
        transform_args={"image_size": (side, side), "normalize": {"mean": card["mean"], "std": card["std"]}},
        seed=arguments.seed,
        accelerator="cpu",
        devices=1,
        num_workers=0,  # its images are read in this one process, as ours are
        # its own figures are not read, and without a logger its monitor of the learning rate is an error
        loggers={"jsonl": None, "tensorboard": None},
        callbacks={"model_checkpoint": None, "learning_rate_monitor": None},
    )
    exported: dict[str, Tensor] = torch.load(out / "exported_models" / "exported_last.pt", weights_only=True)
    return exported


def _network(weights: Path, card: dict[str, Any]) -> nn.Module:
    network: nn.Module = timm.create_model(card["architecture"], num_classes=0, **card["kwargs"])
    network.load_state_dict(load_file(weights / card["file"]))
    return network


def _write(folder: Path, name: str, card: dict[str, Any], weights: dict[str, Tensor]) -> None:
    path = folder / card["file"]
    save_file({key: value.contiguous() for key, value in weights.items()}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / CARDS).write_text(json.dumps({name: card | {"sha256": digest}}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="folders of images; no labels are read")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--teacher", required=True, help="a name in weights.json")
    parser.add_argument("--student", required=True, help="a name in weights.json")
    parser.add_argument("--method", default="distillationv3", help="(%(default)s)")
    parser.add_argument("--image-size", type=int, required=True, help="side in pixels of the views")
    parser.add_argument("--teacher-size", type=int, help="to which the teacher's are resized; default: not at all")
    parser.add_argument("--image-steps", type=int, required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--learning-rate", type=float, required=True, help="before LightlyTrain scales it to the batch")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
