"""How many views of an image stage 1 needs: `python -m benchmarks.methods.views --data FOLDER --weights FOLDER`.

Stage 1 alone, on the answers that the teacher gave to 8 views of each labelled image and 4 of each unlabelled one, and
to their domain-shifted views, of which it reads as many as a row says: a view less is a look less that the teacher must
have at every image, and that is what a job costs beside its student.

N images, V views, W summed tap widths, B batch, K classes.
"""

import argparse
import functools
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks import RESULTS
from benchmarks.common import setting
from benchmarks.common.cells import Cell, Line, run_and_show
from benchmarks.common.data import Subset
from benchmarks.common.intervals import difference
from benchmarks.common.stage_one import prepared
from benchmarks.common.table import by_seed, markdown, over_sets, spread
from benchmarks.common.training import packed
from worker.training.data.side_by_side import Readable
from worker.training.teacher.features import FeatureCache, Kind, TeacherTaps
from worker.training.teacher.reprogramming import reprogram
from worker.training.teacher.task_teacher import logits_of_clean

DATA_SETS = ("clothing", "trashnet", "sign-digits", "grocery")
LABELS, SEEDS = 20, (0, 1, 2)
HEADER = ("data", "views, labelled · unlabelled", "teacher", "− the first", "CE", "seeds")
KINDS: tuple[Kind, Kind] = ("views", "shifted")
MOST, MOST_UNLABELLED = 8, 4
"""Views of a labelled image, and of another."""


class Read(NamedTuple):
    """What of the answers stage 1 reads, of one image."""

    views: int
    """Of a labelled image."""
    shifted: int
    unlabelled: int
    unlabelled_shifted: int

    def __str__(self) -> str:
        return f"{self.views} + {self.shifted} · {self.unlabelled} + {self.unlabelled_shifted}"


ROWS = (
    Read(4, 4, 4, 4),
    Read(4, 4, 4, 1),
    Read(4, 1, 4, 1),
    Read(4, 4, 2, 1),
    Read(8, 8, 4, 1),
    Read(8, 8, 2, 1),
)


LABELLED_ALONE = tuple({row[:2]: row for row in reversed(ROWS)}.values())
"""Those that differ where no image is unlabelled."""


@dataclass(frozen=True)
class FirstViews:
    """The first `count` views of records [N, V, …]."""

    records: Readable
    count: int

    @property
    def key(self) -> str:
        return f"{self.records.key} views {self.count}"

    @property
    def shape(self) -> tuple[int, ...]:
        images, _, *rest = self.records.shape
        return (images, self.count, *rest)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        return self.records[rows][:, : self.count]

    def take(self, rows_B: np.ndarray, views_B: np.ndarray | None = None) -> np.ndarray:
        taken = self.records.take(rows_B, views_B)
        return taken[:, : self.count] if views_B is None else taken

    def pieces(self, rows: int) -> Iterator[np.ndarray]:
        for piece in self.records.pieces(rows):
            yield piece[:, : self.count]

    def view(self, ids: Sequence[str]) -> Readable:
        return FirstViews(self.records.view(ids), self.count)


def first_views(records: Readable, count: int) -> Readable:
    """`records` themselves where they have no more; so what stage 1 makes of them is that of a job."""
    return records if not len(records) or records.shape[1] <= count else FirstViews(records, count)


def main() -> int:
    arguments = _options()
    torch.set_num_threads(arguments.threads)
    return run_and_show(arguments, list(plan(arguments)), functools.partial(_run, arguments), table)


def plan(arguments: argparse.Namespace) -> Iterator[Cell]:
    chosen = setting.chosen(arguments)
    for seed in arguments.seeds:
        for data in arguments.sets:
            subset = Subset(setting.archive(arguments, data), arguments.labels, seed)
            yield Cell(subset.facts, chosen.spec("tdmr", seed), f"{data}, seed {seed}", subset)


def _run(arguments: argparse.Namespace, cell: Cell, stop: threading.Event) -> Line:
    began, rows = time.monotonic(), {}
    with prepared(arguments, cell.context, cell.spec, stop) as (run, images, [given]):
        labelled, shifted, unlabelled, unlabelled_shifted = (
            FeatureCache.open(run.cache, given.sources[0], kind, most).compute(pool, run.data_dir)
            for pool, most in ((images.pools.labelled, MOST), (images.pools.unlabelled, MOST_UNLABELLED))
            for kind in KINDS
        )
        taps = replace(
            given,
            labelled=labelled,
            shifted=shifted,
            unlabelled=unlabelled,
            unlabelled_shifted=unlabelled_shifted,
        )
        labels = torch.from_numpy(images.pools.judged.labels)
        for row in ROWS if len(unlabelled) else LABELLED_ALONE:
            teacher = reprogram(run, images, [reading(taps, row)])
            logits = logits_of_clean(teacher.model, taps.judged, run.device)
            right = logits.argmax(1) == labels
            error = float(F.cross_entropy(logits, labels))
            rows[str(row)] = {"accuracy": float(right.double().mean()), "ce": error, "right": packed(right.tolist())}
    return {**cell.facts, "rows": rows, "seconds": round(time.monotonic() - began, 1), "spec": cell.spec}


def reading(taps: TeacherTaps, row: Read) -> TeacherTaps:
    return replace(
        taps,
        labelled=first_views(taps.labelled, row.views),
        shifted=first_views(taps.shifted, row.shifted),
        unlabelled=first_views(taps.unlabelled, row.unlabelled),
        unlabelled_shifted=first_views(taps.unlabelled_shifted, row.unlabelled_shifted),
    )


def table(lines: Sequence[Line]) -> str:
    """Teacher: mean (min – max) over the seeds. Difference: mean [95 % interval]. CE: of the test images, the mean."""
    sets = [data for data in DATA_SETS if any(line["data"] == data for line in lines)]
    told = []
    for name, among in [*((data, [data]) for data in sets), (f"mean of {len(sets)}", sets)]:
        for row in map(str, ROWS):
            its, first = ([_of(lines, data, one) for data in among] for one in (row, str(ROWS[0])))
            figures, errors = (
                over_sets([by_seed(found, field) for found in its]) for field in ("student_accuracy", "ce")
            )
            if not figures:  # where no image is unlabelled some rows are the same and are not run
                continue
            gain = difference(list(zip(its, first, strict=True)))
            told.append(
                [name, row, spread(figures), gain, f"{statistics.mean(errors.values()):.3f}", str(len(figures))]
            )
    return markdown(HEADER, told)


def _of(lines: Sequence[Line], data: str, row: str) -> list[Mapping[str, Any]]:
    """One row's lines as intervals read them."""
    found = [(line["seed"], line["rows"][row]) for line in lines if line["data"] == data and row in line["rows"]]
    return [
        {"seed": seed, "student_accuracy": one["accuracy"], "ce": one["ce"], "right": {"student": one["right"]}}
        for seed, one in found
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    setting.add_options(parser, RESULTS / "views.jsonl")
    parser.set_defaults(**setting.PRETRAINED)
    parser.add_argument("--sets", nargs="+", default=DATA_SETS, help="names of the zip files")
    parser.add_argument("--labels", type=setting.labels, default=LABELS, help="per class; or all (%(default)s)")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    return setting.parsed(parser)


if __name__ == "__main__":
    sys.exit(main())
