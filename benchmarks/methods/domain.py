"""What the domain term does: `python -m benchmarks.methods.domain --data FOLDER --weights FOLDER [--student-too]`.

Each cell trains the reprogrammer with the domain term and without it, and asks of both, on test images:
- the invariance gap: accuracy on clean images minus accuracy on their shifted views, and the mean of 1 − cos(z, z');
- the accuracy of a linear domain classifier on z, clean against shifted, fitted on training images; 50 % is best;
- the accuracy on corrupted images, by corruptions that training does not know (benchmarks/methods/corruptions.py).
With `--student-too` the students are trained with the whole budget and judged on the corrupted images as well.

N images, W summed tap widths, D proxy width, K classes.
"""

import argparse
import functools
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from app.domain.config import ReprogramConfig
from app.domain.dataset import Sample, Split
from app.imaging import fit_square, open_rgb
from app.reading.layout import index_folder
from benchmarks import RESULTS
from benchmarks.common import setting
from benchmarks.common.cells import Cell, Line, run_and_show
from benchmarks.common.data import SPLIT_SEED, Subset, extract
from benchmarks.common.setting import DATA_SETS, SEEDS
from benchmarks.common.table import by_seed, differences, markdown, paired, spread
from benchmarks.common.training import machine_name, run_training
from benchmarks.methods.ablations import ROWS
from benchmarks.methods.corruptions import CORRUPTIONS, STRENGTHS, Pixels
from worker.training import losses
from worker.training.data.views import SHIFT_NUMBERS, shift
from worker.training.export.format import INPUT_NAME, normalise
from worker.training.models.networks import Teacher, build_teacher
from worker.training.teacher.proxy_space import ProxyAnswer, Reprogrammer

VARIANTS: dict[str, dict[str, Any]] = {"with": {}, "without": dict(ROWS["no domain term"].changes)}
FIGURES = {
    "clean": "clean",
    "shifted": "shifted",
    "gap": "invariance gap",
    "corrupted": "corrupted",
    "domain_classifier": "domain classifier",
    "distance": "1 − cos",
    "student_clean": "student, clean",
    "student_corrupted": "student, corrupted",
}
_BATCH = 128  # images
_CHUNK = 1024  # rows of taps
_TEST_SEED = 7
"""Of the shifts and corruptions that images are judged under: the same for all cells."""


@dataclass(frozen=True)
class Taps:
    """A data set and what the teacher says of it; labelled draws, seeds and the reprogrammer do not change it."""

    teacher: Teacher
    images: list[Pixels]
    """Test images, at the teacher's size."""
    labels: Tensor
    """[N] of the test images."""
    train: Tensor
    """[N, W]"""
    train_shifted: Tensor
    test: Tensor
    test_shifted: Tensor
    corrupted: dict[str, list[Tensor]]
    """Of the test images, by corruption, weak to strong."""


def main() -> int:
    arguments = _options()
    torch.set_num_threads(arguments.threads)
    run_cell = functools.partial(run, arguments)
    return run_and_show(arguments, list(plan(arguments)), run_cell, lambda lines: f"\n{table(lines)}")


def plan(arguments: argparse.Namespace) -> Iterator[Cell]:
    """Data set by data set: the teacher's answers then serve all seeds of one."""
    chosen = setting.chosen(arguments)
    if not arguments.student_too:
        chosen = replace(chosen, image_steps=chosen.batch_size)  # the reprogrammer is all that is looked at
    for data in arguments.sets:
        for seed in arguments.seeds:
            subset = Subset(setting.archive(arguments, data), arguments.labels, seed)
            facts = {**subset.facts, "student_too": arguments.student_too}
            yield Cell(facts, chosen.spec("tdmr", seed), f"{data}, seed {seed}", subset)


def run(arguments: argparse.Namespace, cell: Cell, stop: threading.Event) -> Line:
    """Train both variants and measure them."""
    subset, work = cell.context, arguments.cache / "data"
    taps = _taps(extract(subset.archive, work), cell.spec["teacher"], arguments.teacher_size, arguments.weights)
    variants, seconds = {}, 0.0
    for name, changes in VARIANTS.items():
        with tempfile.TemporaryDirectory() as temporary:
            out, spec = Path(temporary, "out"), setting.changed(cell.spec, changes)
            outcome = run_training(spec, subset.folder(work), setting.machine(arguments), stop, out)
            seconds += outcome.seconds
            variants[name] = measure(_reprogrammer(out, taps.teacher, outcome.manifest), taps)
            if arguments.student_too:
                variants[name] |= _student(out, outcome.manifest, taps)
    return {
        **cell.facts,
        "method": "tdmr",
        "teacher": cell.spec["teacher"],
        "image_steps": cell.spec["distill"]["image_steps"],
        "variants": variants,
        "seconds": seconds,
        "threads": arguments.threads,
        "machine": machine_name(),
        "spec": cell.spec,
    }


def measure(reprogrammer: Reprogrammer, taps: Taps) -> dict[str, Any]:
    """Every figure of one reprogrammer."""

    @torch.no_grad()
    def answer(taps_NW: Tensor) -> ProxyAnswer:
        parts = [reprogrammer(part) for part in torch.split(taps_NW, _CHUNK)]
        return ProxyAnswer(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def accuracy(taps_NW: Tensor) -> float:
        return float(losses.accuracy(answer(taps_NW).logits_BK, taps.labels))

    clean, shifted = answer(taps.test), answer(taps.test_shifted)
    corrupted = {name: [accuracy(part) for part in parts] for name, parts in taps.corrupted.items()}
    right = float(losses.accuracy(clean.logits_BK, taps.labels))
    right_shifted = float(losses.accuracy(shifted.logits_BK, taps.labels))
    return {
        "clean": right,
        "shifted": right_shifted,
        "gap": right - right_shifted,
        "distance": float(losses.cosine_distance(clean.z_BD, shifted.z_BD)),
        "domain_classifier": tells_apart(
            (answer(taps.train).z_BD, answer(taps.train_shifted).z_BD), (clean.z_BD, shifted.z_BD)
        ),
        "corrupted": _mean(corrupted),
        "by_corruption": corrupted,
    }


def tells_apart(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> float:
    """Accuracy on `test` of logistic regression that tells the first from the second of `train`, each [N, D]."""
    classifier = LogisticRegression(max_iter=2000)
    points, domains = zip(*((torch.cat(pair).numpy(), _domains(pair)) for pair in (train, test)), strict=True)
    scale = points[0].std(0) + 1e-6  # z is of unit length, so its coordinates are small: C = 1 would hold it back
    classifier.fit(points[0] / scale, domains[0])
    return float(classifier.score(points[1] / scale, domains[1]))


def table(lines: Sequence[Line]) -> str:
    """Mean (least – most) over the seeds; the difference is with − without, mean (each seed's)."""
    rows = []
    for data in dict.fromkeys(line["data"] for line in lines):
        of_set = [line for line in lines if line["data"] == data]
        figures = {
            variant: [{"seed": line["seed"], **line["variants"][variant]} for line in of_set] for variant in VARIANTS
        }
        for name, words in FIGURES.items():
            columns = [by_seed(figures[variant], name) for variant in VARIANTS]
            if columns[0]:
                rows.append([data, words, *map(spread, columns), differences(paired(columns[0], columns[1]))])
    return markdown(("data", "figure", "with domain term", "without", "difference"), rows)


@functools.lru_cache(maxsize=1)
def _taps(source: Path, name: str, side: int, weights: Path | None) -> Taps:
    teacher = build_teacher(name, side, weights)
    samples = index_folder(source, SPLIT_SEED).samples
    train, test = ([s for s in samples if s.split is split] for split in (Split.TRAIN, Split.TEST))
    train_images, images = (_squares(source, part, side) for part in (train, test))
    rng = np.random.default_rng(_TEST_SEED)
    return Taps(
        teacher=teacher,
        images=images,
        labels=torch.tensor([sample.label for sample in test]),
        train=_ask(teacher, train_images),
        train_shifted=_ask(teacher, train_images, rng),
        test=_ask(teacher, images),
        test_shifted=_ask(teacher, images, rng),
        corrupted={
            name: [_ask(teacher, _corrupted(images, name, strength)) for strength in STRENGTHS] for name in CORRUPTIONS
        },
    )


def _squares(folder: Path, samples: Sequence[Sample], side: int) -> list[Pixels]:
    return [fit_square(open_rgb(folder / sample.path), side) for sample in samples]


def _corrupted(images: Sequence[Pixels], name: str, strength: int) -> list[Pixels]:
    rng = np.random.default_rng([_TEST_SEED, list(CORRUPTIONS).index(name), strength])
    return [CORRUPTIONS[name](image, strength, rng) for image in images]


def _ask(teacher: Teacher, images: Sequence[Pixels], shifts: np.random.Generator | None = None) -> Tensor:
    """Taps [N, W] of images at the teacher's size, or of their shifted views."""
    answers = []
    for start in range(0, len(images), _BATCH):
        pixels = torch.from_numpy(np.stack(images[start : start + _BATCH])).permute(0, 3, 1, 2) / 255
        if shifts is not None:
            pixels = shift(pixels, torch.from_numpy(shifts.random((len(pixels), SHIFT_NUMBERS), dtype=np.float32)))
        answers.append(torch.cat(teacher(pixels), 1))
    return torch.cat(answers)


def _reprogrammer(out: Path, teacher: Teacher, manifest: dict[str, Any]) -> Reprogrammer:
    config = ReprogramConfig.model_validate(manifest["spec"]["reprogram"])
    reprogrammer = Reprogrammer(teacher.widths, len(manifest["classes"]), config)
    reprogrammer.load_state_dict(load_file(out / "reprogrammed.safetensors"))
    return reprogrammer.eval()


def _student(out: Path, manifest: dict[str, Any], taps: Taps) -> dict[str, Any]:
    """The student's accuracy on the same images, as its ONNX file gives it."""
    session = onnxruntime.InferenceSession(str(out / "student.onnx"), providers=["CPUExecutionProvider"])
    wanted = manifest["preprocessing"]
    labels = taps.labels.numpy()

    def accuracy(images: Sequence[Pixels]) -> float:
        right = 0
        for start in range(0, len(images), _BATCH):
            part = [
                fit_square(Image.fromarray(image), wanted["center_crop"], wanted["interpolation"])
                for image in images[start : start + _BATCH]
            ]
            (logits,) = session.run(None, {INPUT_NAME: normalise(np.stack(part), wanted["mean"], wanted["std"])})
            right += int((logits.argmax(1) == labels[start : start + _BATCH]).sum())
        return right / len(images)

    corrupted = {
        name: [accuracy(_corrupted(taps.images, name, strength)) for strength in STRENGTHS] for name in CORRUPTIONS
    }
    return {
        "student_clean": accuracy(taps.images),
        "student_corrupted": _mean(corrupted),
        "student_by_corruption": corrupted,
    }


def _mean(figures: dict[str, list[float]]) -> float:
    return statistics.mean(value for values in figures.values() for value in values)


def _domains(pair: tuple[Tensor, Tensor]) -> np.ndarray:
    """0 for the rows of the first, 1 for those of the second."""
    return np.repeat([0, 1], [len(part) for part in pair])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    setting.add_options(parser, RESULTS / "domain.jsonl")
    parser.add_argument("--sets", nargs="+", default=DATA_SETS, help="names of the zip files")
    parser.add_argument("--labels", type=setting.labels, default=20, help="per class; or all (%(default)s)")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--student-too", action="store_true", help="train the students with the whole budget as well")
    return setting.parsed(parser)


if __name__ == "__main__":
    sys.exit(main())
