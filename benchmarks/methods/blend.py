"""What the teacher answers, between its proxy space and its linear probe:
`python -m benchmarks.methods.blend --data FOLDER --weights FOLDER`.

Stage 1 alone, for each data set and teacher; then accuracy on the test images and cross-entropy on the validation
images of both, of what lies between them, and of the share that a job chooses.
"""

import argparse
import functools
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import RESULTS
from benchmarks.common import setting
from benchmarks.common.cells import Cell, Line, run_and_show
from benchmarks.common.data import Subset
from benchmarks.common.stage_one import prepared
from benchmarks.common.table import markdown
from worker.training.teacher.reprogramming import reprogram
from worker.training.teacher.task_teacher import Blend, logits_of_clean

CELLS = (
    ("clothing", "tf_efficientnet_lite2.in1k", 260),
    ("trashnet", "tf_efficientnet_lite2.in1k", 260),
    ("sign-digits", "tf_efficientnet_lite2.in1k", 260),
    ("grocery", "tf_efficientnet_lite2.in1k", 260),
    ("grocery", "mobilenetv2_100.in1k", 224),
)
LABELS = 20
SHARES = (0.25, 0.5, 0.75)
HEADER = ("data", "teacher", "seed", "proxy space", "probe", *(f"α {share}" for share in SHARES), "chosen", "α", "CE")


def main() -> int:
    arguments = _options()
    torch.set_num_threads(arguments.threads)
    run = functools.partial(_run, arguments)
    return run_and_show(arguments, list(plan(arguments)), run, lambda lines: markdown(HEADER, [*map(_row, lines)]))


def plan(arguments: argparse.Namespace) -> Iterator[Cell]:
    chosen = setting.chosen(arguments)
    for seed in arguments.seeds:
        for data, teacher, size in CELLS:
            subset = Subset(setting.archive(arguments, data), LABELS, seed)
            spec = chosen.spec("tdmr", seed, {"teacher": teacher, "reprogram.image_size": size})
            yield setting.photographs(subset, spec, teacher)


def _run(arguments: argparse.Namespace, cell: Cell, stop: threading.Event) -> Line:
    subset, _ = cell.context
    began = time.monotonic()
    with prepared(arguments, subset, cell.spec, stop) as (run, images, [taps]):
        spec, teacher = run.spec, reprogram(run, images, [taps])
    assert isinstance(teacher.blend, Blend)
    models = {"proxy space": teacher.blend.reprogrammer, "probe": teacher.probe, "chosen": teacher.blend}
    val, judged = (
        {name: logits_of_clean(model, records, run.device) for name, model in models.items()}
        for records in (taps.val, taps.judged)
    )
    between = {f"{share}": torch.lerp(judged["proxy space"], judged["probe"], share) for share in SHARES}
    return {
        "data": subset.archive.stem,
        "row": spec.teacher,
        "labels_per_class": LABELS,
        "seed": subset.seed,
        "seconds": round(time.monotonic() - began, 1),
        "share": round(float(teacher.blend.share), 2),
        "accuracy": {name: _right(logits, images.pools.judged.labels) for name, logits in (judged | between).items()},
        "val_ce": {name: _error(logits, images.pools.val.labels) for name, logits in val.items()},
        **{key: value for key, value in cell.facts.items() if key not in ("data", "labels_per_class", "seed")},
        "spec": spec.model_dump(mode="json"),
    }


def _right(logits: Tensor, labels: Any) -> float:
    return float((logits.argmax(1) == torch.from_numpy(labels)).float().mean())


def _error(logits: Tensor, labels: Any) -> float:
    return float(F.cross_entropy(logits, torch.from_numpy(labels)))


def _row(line: Line) -> list[str]:
    accuracy = [line["accuracy"][name] for name in ("proxy space", "probe", *map(str, SHARES), "chosen")]
    errors = " · ".join(f"{line['val_ce'][name]:.2f}" for name in ("proxy space", "probe", "chosen"))
    told = [f"{value:.1%}".replace("%", " %") for value in accuracy]
    return [line["data"], line["row"], str(line["seed"]), *told, f"{line['share']:.2f}", errors]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    setting.add_options(parser, RESULTS / "blend.jsonl")
    parser.add_argument("--seeds", nargs="+", type=int, default=(0,))
    return setting.parsed(parser)


if __name__ == "__main__":
    sys.exit(main())
