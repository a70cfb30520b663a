"""What several teachers know together: `python -m benchmarks.methods.teachers --data FOLDER --weights FOLDER`.

Stage 1 alone, without a student, as a job with `teachers` runs it: each teacher is read alone, all are read together in
one proxy space, and the validation images choose how much each of these says. Two groups have a teacher that was
pretrained on something else, insects: it must do no harm. Each teacher sees images of the size that it was pretrained
at.

N images, K classes.
"""

import argparse
import functools
import sys
import threading
import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import RESULTS
from benchmarks.common import setting
from benchmarks.common.cells import Cell, Line, run_and_show
from benchmarks.common.data import Subset
from benchmarks.common.stage_one import prepared
from benchmarks.common.table import markdown
from worker.training.data.pools import Images
from worker.training.teacher.reprogramming import reprogram
from worker.training.teacher.task_teacher import Blend, Ensemble, TaskTeacher, best_shares, logits_of_clean

DATA_SETS = ("clothing", "sign-digits", "trashnet", "grocery")
LITE, MOBILE, INSECTS = "tf_efficientnet_lite2.in1k", "mobilenetv2_100.in1k", "mobilenetv2_100.inat_insect"
GROUPS = (f"{LITE}+{MOBILE}", f"{LITE}+{INSECTS}", f"{LITE}+{MOBILE}+{INSECTS}")
LABELS = 20
TOGETHER, ALL, EQUAL = "together", "all", "equal"
"""All teachers read as one; what a job learns from; and that with equal shares, as without validation images."""
FEW, DRAWS = (10, 50), range(15)
"""Validation images that choose the shares, and how often so many are drawn."""


def main() -> int:
    arguments = _options()
    torch.set_num_threads(arguments.threads)
    return run_and_show(arguments, list(plan(arguments)), functools.partial(_run, arguments), table)


def plan(arguments: argparse.Namespace) -> Iterator[Cell]:
    chosen = setting.chosen(arguments)
    for seed in arguments.seeds:
        for data in arguments.sets:
            subset = Subset(setting.archive(arguments, data), LABELS, seed)
            for group in arguments.groups:
                names = group.split("+")
                changes = {"teacher": None, "teachers": names, "reprogram.image_size": None}
                facts = {**subset.facts, "teachers": names}
                label = f"{data}, {group}, seed {seed}"
                yield Cell(facts, chosen.spec("tdmr", seed, changes), label, context=subset)


def _run(arguments: argparse.Namespace, cell: Cell, stop: threading.Event) -> Line:
    subset, began = cell.context, time.monotonic()
    with prepared(arguments, subset, cell.spec, stop) as (run, images, every_taps):
        teacher = reprogram(run, images, every_taps)
    return {
        "data": subset.archive.stem,
        "labels_per_class": LABELS,
        "seed": subset.seed,
        "seconds": round(time.monotonic() - began, 1),
        **_judge(teacher, images, run.device),
        **{key: value for key, value in cell.facts.items() if key not in ("data", "labels_per_class", "seed")},
        "spec": cell.spec,
    }


def _judge(teacher: TaskTeacher, images: Images, device: torch.device) -> Line:
    """Accuracy on the test images: of each, of all read together, of what a job has, and of equal shares; of the shares
    that `FEW` of the validation images choose, mean over draws. Cross-entropy of the same, and on the validation
    images."""
    ensemble, pools = teacher.blend, images.pools
    assert isinstance(ensemble, Ensemble)
    names = [*(source.teacher.name for source in teacher.taps.sources), TOGETHER]
    blends = [blend for blend in ensemble.blends if isinstance(blend, Blend)]
    val, judged = (
        torch.stack(
            [
                logits_of_clean(Ensemble([blend], [columns], [1.0]), taps, device)
                for blend, columns in zip(blends, ensemble.columns, strict=True)
            ]
        )
        for taps in (teacher.taps.val, teacher.taps.judged)
    )
    val_labels, labels = torch.from_numpy(pools.val.labels), torch.from_numpy(pools.judged.labels)

    def right(shares: Sequence[float]) -> float:
        mixed = torch.einsum("m,mnk->nk", torch.tensor(shares), judged)
        return float((mixed.argmax(1) == labels).double().mean())

    chosen, count = ensemble.shares.tolist(), len(names)
    alone = {name: [float(at == number) for at in range(count)] for number, name in enumerate(names)}
    shares = {**alone, ALL: chosen, EQUAL: [1 / count] * count}
    few = {}
    for number in FEW:
        draws = [torch.from_numpy(np.random.default_rng(draw).permutation(len(val_labels))[:number]) for draw in DRAWS]
        found = [right(best_shares([voice[rows] for voice in val], val_labels[rows])) for rows in draws]
        few[str(number)] = sum(found) / len(found)

    def errors(said: Tensor, told: Tensor) -> dict[str, float]:
        return {
            name: float(F.cross_entropy(torch.einsum("m,mnk->nk", torch.tensor(each), said), told))
            for name, each in shares.items()
        }

    return {
        "accuracy": {name: right(each) for name, each in shares.items()},
        "accuracy_of_few": few,
        "ce": errors(judged, labels),
        "val_images": len(val_labels),
        "val_ce": errors(val, val_labels),
        "shares": dict(zip(names, chosen, strict=True)),
    }


def table(lines: Sequence[Line]) -> str:
    """Accuracy of each alone; then with what it is above the better one alone. Cross-entropy of the better one alone,
    and of what a job learns from; it says more than the accuracy, which a few images move."""
    rows = []
    for line in lines:
        accuracy, names = line["accuracy"], line["teachers"]
        best = max(accuracy[name] for name in names)
        alone = " · ".join(f"{100 * accuracy[name]:.1f}" for name in names)
        ways = [accuracy[TOGETHER], accuracy[ALL], *line["accuracy_of_few"].values(), accuracy[EQUAL]]
        told = [f"{100 * way:.1f} ({100 * (way - best):+.1f})" for way in ways]
        errors = f"{min(line['ce'][name] for name in names):.3f} → {line['ce'][ALL]:.3f}"
        shares = " · ".join(f"{100 * line['shares'][name]:.0f}" for name in [*names, TOGETHER])
        group = " + ".join(f"`{name}`" for name in names)
        rows.append([line["data"], group, str(line["seed"]), alone, *told, errors, shares])
    few = [f"by {number} images" for number in FEW]
    head = ("data", "teachers", "seed", "each alone", "read together", "a job", *few, "equal shares", "CE", "shares, %")
    return markdown(head, rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    setting.add_options(parser, RESULTS / "teachers.jsonl")
    parser.add_argument("--sets", nargs="+", default=DATA_SETS, help="names of the zip files")
    parser.add_argument("--groups", nargs="+", default=GROUPS, help="teachers, joined by +")
    parser.add_argument("--seeds", nargs="+", type=int, default=(0,))
    return setting.parsed(parser)


if __name__ == "__main__":
    sys.exit(main())
