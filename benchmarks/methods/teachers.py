"""What several teachers know together: `python -m benchmarks.methods.teachers --data FOLDER --weights FOLDER`.

Stage 1 alone, without a student. Two ways of putting teachers together, beside each of them alone: `one proxy space`,
where the adapters of all stand side by side and learn one z, and `mixed answers`, where each has a proxy space of its
own and the validation images choose how much each says. The last pair of a data set has a teacher that was pretrained
on something else: it must not hurt.

N images, V views, B batch, W summed tap widths, K classes.
"""

import argparse
import functools
import io
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from app.domain.runtime import RuntimeConfig
from app.domain.spec import TrainingSpec
from app.reading.layout import load_index
from benchmarks import RESULTS
from benchmarks.common import setting
from benchmarks.common.cells import Cell, Line, run_and_show
from benchmarks.common.data import Subset
from benchmarks.common.table import markdown
from worker.training.data.pools import Images
from worker.training.data.records import Records
from worker.training.engine.reporter import Reporter
from worker.training.prepare import prepare
from worker.training.run import Run
from worker.training.teacher.features import TeacherTaps
from worker.training.teacher.reprogramming import reprogram
from worker.training.teacher.task_teacher import TaskTeacher, logits_of_clean

SIZES = {"tf_efficientnet_lite2.in1k": 260, "mobilenetv2_100.in1k": 224, "mobilenetv2_100.inat_insect": 224}
"""By teacher: the side in pixels that it was pretrained at."""
DATA_SETS = ("clothing", "sign-digits", "trashnet", "grocery")
LABELS = 20
_STEPS = 300
"""Of the descent that chooses the shares."""


class SideBySide:
    """Several teachers' answers to the same images and views, as if one had given them all."""

    def __init__(self, parts: Sequence[Records]) -> None:
        self._parts = parts
        self.store = SimpleNamespace(key="+".join(part.store.key for part in parts))

    def __len__(self) -> int:
        return len(self._parts[0])

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self._parts[0].shape[:-1], sum(part.shape[-1] for part in self._parts))

    def take(self, rows_B: np.ndarray, views_B: np.ndarray | None = None) -> np.ndarray:
        return np.concatenate([part.take(rows_B, views_B) for part in self._parts], -1)

    def pieces(self, rows: int) -> Iterator[np.ndarray]:
        for pieces in zip(*(part.pieces(rows) for part in self._parts), strict=True):
            yield np.concatenate(pieces, -1)


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
                spec = chosen.spec("tdmr", seed, {"teacher": names[0], "reprogram.image_size": SIZES[names[0]]})
                facts = {**subset.facts, "teachers": names}
                yield Cell(facts=facts, spec=spec, label=f"{data}, {group}, seed {seed}", context=(subset, names))


def _run(arguments: argparse.Namespace, cell: Cell, stop: threading.Event) -> Line:
    subset, names = cell.context
    where = setting.machine(arguments)
    runtime = RuntimeConfig(device="cpu", hub=False, models_dir=where.weights, cache_dir=where.cache)
    folder = subset.folder(arguments.cache / "data")
    began = time.monotonic()
    alone: list[TaskTeacher] = []
    with tempfile.TemporaryDirectory() as out:
        for name in names:
            spec = TrainingSpec(**setting.changed(cell.spec, {"teacher": name, "reprogram.image_size": SIZES[name]}))
            run = Run(spec, folder, Path(out), runtime, Reporter(io.StringIO()), stop.is_set)
            images, taps = prepare(run, load_index(folder))
            assert taps is not None
            alone.append(reprogram(run, images, taps))
        together = reprogram(run, images, _together([teacher.taps for teacher in alone]))
    found = _judge(alone, together, images, run.device)
    return {
        "data": subset.archive.stem,
        "labels_per_class": LABELS,
        "seed": subset.seed,
        "seconds": round(time.monotonic() - began, 1),
        **found,
        **{key: value for key, value in cell.facts.items() if key not in ("data", "labels_per_class", "seed")},
        "spec": cell.spec,
    }


def _together(all_taps: Sequence[TeacherTaps]) -> TeacherTaps:
    """One teacher with the stages of all; its pre-logits vector is the last one's."""

    def beside(name: str) -> Records:
        return cast(Records, SideBySide([getattr(taps, name) for taps in all_taps]))

    widths = [width for taps in all_taps for width in taps.teacher.widths]
    source: Any = SimpleNamespace(teacher=SimpleNamespace(widths=widths), width=sum(widths))
    return replace(
        all_taps[0],
        source=source,
        labelled=beside("labelled"),
        shifted=beside("shifted"),
        unlabelled=beside("unlabelled"),
        unlabelled_shifted=beside("unlabelled_shifted"),
        val=beside("val"),
        judged=beside("judged"),
    )


def _judge(alone: Sequence[TaskTeacher], together: TaskTeacher, images: Images, device: torch.device) -> Line:
    """Accuracy on the test images and cross-entropy on the validation images."""
    assert together.blend is not None
    val_labels, labels = (torch.from_numpy(pool.labels) for pool in (images.pools.val, images.pools.judged))
    val: dict[str, Tensor] = {}
    judged: dict[str, Tensor] = {}
    voices: dict[str, tuple[Tensor, Tensor]] = {}
    for number, teacher in enumerate(alone):
        assert teacher.blend is not None
        models = {"chosen": teacher.blend, "proxy": teacher.blend.reprogrammer, "probe": teacher.probe}
        answers = {
            name: [logits_of_clean(model, records, device) for records in (teacher.taps.val, teacher.taps.judged)]
            for name, model in models.items()
        }
        val[f"{number}"], judged[f"{number}"] = answers.pop("chosen")
        voices |= {f"{number} {name}": (both[0], both[1]) for name, both in answers.items()}
    val["one proxy space"], judged["one proxy space"] = (
        logits_of_clean(together.blend.reprogrammer, records, device)
        for records in (together.taps.val, together.taps.judged)
    )
    shares = chosen_shares([voice for voice, _ in voices.values()], val_labels)
    val["mixed answers"], judged["mixed answers"] = (
        torch.einsum("m,mnk->nk", shares, torch.stack([voice[which] for voice in voices.values()])) for which in (0, 1)
    )
    every = [*voices.values(), (val["one proxy space"], judged["one proxy space"])]
    weights = chosen_shares([voice for voice, _ in every], val_labels)
    val["both"], judged["both"] = (
        torch.einsum("m,mnk->nk", weights, torch.stack([voice[which] for voice in every])) for which in (0, 1)
    )
    return {
        "accuracy": {name: float((logits.argmax(1) == labels).float().mean()) for name, logits in judged.items()},
        "val_ce": {name: float(F.cross_entropy(logits, val_labels)) for name, logits in val.items()},
        "shares": {name: round(float(share), 2) for name, share in zip(voices, shares, strict=True)},
    }


def chosen_shares(voices: Sequence[Tensor], labels_N: Tensor) -> Tensor:
    """How much each says, [M], sum 1: the lowest cross-entropy of Σ share · logits. Exponentiated gradient; convex."""
    stacked = torch.stack(list(voices))
    logits = torch.zeros(len(stacked), requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=0.1)
    for _ in range(_STEPS):
        optimiser.zero_grad()
        loss = F.cross_entropy(torch.einsum("m,mnk->nk", logits.softmax(0), stacked), labels_N)
        torch.autograd.backward(loss)
        optimiser.step()
    return logits.detach().softmax(0)


def table(lines: Sequence[Line]) -> str:
    ways = ("one proxy space", "mixed answers", "both")
    rows = []
    for line in lines:
        accuracy, names = line["accuracy"], line["teachers"]
        best = max(accuracy[f"{number}"] for number in range(len(names)))
        alone = " · ".join(f"{100 * accuracy[f'{number}']:.1f}" for number in range(len(names)))
        told = [f"{100 * accuracy[way]:.1f} % ({100 * (accuracy[way] - best):+.1f})" for way in ways]
        errors = " · ".join(f"{value:.2f}" for value in line["val_ce"].values())
        rows.append([line["data"], " + ".join(f"`{name}`" for name in names), str(line["seed"]), alone, *told, errors])
    return markdown(("data", "teachers", "seed", "each alone, %", *ways, "CE"), rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    setting.add_options(parser, RESULTS / "teachers.jsonl")
    parser.add_argument("--sets", nargs="+", default=DATA_SETS, help="names of the zip files")
    lite, mobile, insects = SIZES
    parser.add_argument(
        "--groups", nargs="+", default=(f"{lite}+{mobile}", f"{lite}+{insects}"), help="teachers, joined by +"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=(0,))
    return setting.parsed(parser)


if __name__ == "__main__":
    sys.exit(main())
