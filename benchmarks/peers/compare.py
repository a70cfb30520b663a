"""Our teacher → student training beside LightlyTrain's distillation.

    uv venv build/peers
    uv pip install --python build/peers/bin/python lightly-train==0.18.0 timm==1.0.31 torch==2.15.0
    python -m benchmarks.peers.compare --data FOLDER --weights FOLDER [--sets clothing …] [--rows …] [--seeds 0]

LightlyTrain is under the AGPL, so it is no dependency of this project: it lives in an environment of its own, where
`lightly_student.py` runs. It trains the student on all training images without their labels (`distillationv3`, the only
one of its methods that takes a teacher other than DINO). That student is then fine-tuned on the labels by our
`finetune`. Same teacher, same student with its own pretrained weights, same images, batch and size of the views; each
of the two parts has as many image steps as the whole of our methods. Our rows come from the results of
`benchmarks.methods.pretrained`.

The CPU seconds are those of both parts; the wall time also holds what else the machine did.
"""

import argparse
import functools
import json
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import RESULTS
from benchmarks.common import setting
from benchmarks.common.cells import Cell, Line, find, read, run_cells
from benchmarks.common.data import Subset
from benchmarks.common.setting import Setting
from benchmarks.common.table import NOTHING, Seeds, by_seed, differences, markdown, over_sets, paired, spread
from benchmarks.common.training import Interrupted, RunFailed
from worker.child import Child

DATA_SETS = ("clothing", "trashnet", "sign-digits", "grocery")
LABELS, SEEDS = 20, (0,)
PEER = "lightly-train 0.18.0"
OURS = ("tdmr", "finetune")
HEADER = ("data", "row", "student", "tdmr − it", "s", "CPU s", "seeds")
_SCRIPT = Path(__file__).with_name("lightly_student.py")
_POLL_SECONDS = 0.5

Result = TypeVar("Result")


@dataclass(frozen=True)
class Distillation:
    """What of LightlyTrain's part is chosen here; all else is its default."""

    learning_rate: float
    """Of AdamW at its reference batch of 1536; it multiplies it by √(batch / 1536)."""
    teacher_size: int | None
    """Side in pixels to which the teacher's views are resized; None: as it has it, the student's views."""
    method: str = "distillationv3"


ROWS = {
    "lightly": Distillation(learning_rate=5e-4, teacher_size=None),
    "lightly tuned": Distillation(learning_rate=1.5e-3, teacher_size=260),
}
"""Its defaults; and its learning rate times three, the step that its documentation recommends for a search and its
direction for networks of less than 10 million weights, with the teacher's views at the size that ours sees."""


def main() -> int:
    arguments = _options()
    cells = list(plan(arguments))
    failures = []
    if not arguments.table:
        failures = run_cells(cells, arguments.results, functools.partial(_run, arguments))
    theirs, ours = read(arguments.results), read(arguments.ours)
    print(table([*_found(cells, theirs), *_found(list(our_plan(arguments)), ours)]))
    print("".join(f"\nfailed: {failure}" for failure in failures))
    return 1 if failures else 0


def plan(arguments: argparse.Namespace) -> Iterator[Cell]:
    """LightlyTrain's cells. The spec is that of the fine-tuning; what went before is in the facts."""
    spec = functools.partial(setting.chosen(arguments).spec, "finetune", changes={"pretrained": True})
    for subset in _subsets(arguments):
        for row in arguments.rows:
            facts = {**subset.facts, "row": row, "peer": PEER, "distillation": asdict(ROWS[row])}
            label = f"{subset.archive.stem}, {LABELS} labels, {row}, seed {subset.seed}"
            yield Cell(facts=facts, spec=spec(seed=subset.seed), label=label, context=(subset, row))


def our_plan(arguments: argparse.Namespace) -> Iterator[Cell]:
    """The cells of `benchmarks.methods.pretrained` to compare with."""
    chosen = setting.chosen(arguments)
    for subset in _subsets(arguments):
        for row in OURS:
            yield setting.photographs(subset, chosen.spec(row, subset.seed, {"pretrained": True}), row)


def table(lines: Sequence[Line]) -> str:
    """Student: mean (min – max) over the seeds; difference: mean (each seed's)."""
    found: dict[str, dict[str, list[Line]]] = {}
    for line in lines:
        found.setdefault(line["data"], {}).setdefault(line["row"], []).append(line)
    sets = [data for data in DATA_SETS if data in found]
    names = [row for row in (*OURS, *ROWS) if any(row in found[data] for data in sets)]
    rows = [
        [data, *_row(row, by_seed(found[data][row]), by_seed(found[data].get("tdmr", ()))), *_cost(found[data][row])]
        for data in sets
        for row in names
        if row in found[data]
    ]
    for row in names:
        whole = [data for data in sets if {row, "tdmr"} <= found[data].keys()]
        if len(whole) > 1:
            its, ours = (over_sets([by_seed(found[data][name]) for data in whole]) for name in (row, "tdmr"))
            rows.append([f"mean of {len(whole)}", *_row(row, its, ours), NOTHING, NOTHING, str(len(its))])
    return markdown(HEADER, rows)


def _row(row: str, its: Seeds, ours: Seeds) -> list[str]:
    return [f"`{row}`", spread(its), NOTHING if row == "tdmr" else differences(paired(ours, its))]


def _cost(lines: Sequence[Line]) -> list[str]:
    """Wall and CPU seconds, where they were measured, and the number of seeds."""
    measured = ([line[name] for line in lines if line.get(name) is not None] for name in ("seconds", "cpu_seconds"))
    return [*(f"{statistics.mean(values):.0f}" if values else NOTHING for values in measured), str(len(by_seed(lines)))]


def _subsets(arguments: argparse.Namespace) -> Iterator[Subset]:
    for seed in arguments.seeds:
        for data in arguments.sets:
            yield Subset(setting.archive(arguments, data), LABELS, seed)


def _found(cells: Sequence[Cell], lines: Sequence[Line]) -> list[Line]:
    return [line for cell in cells if (line := find(cell, lines)) is not None]


def _run(arguments: argparse.Namespace, cell: Cell, stop: threading.Event) -> Line:
    """Both parts, and the line of the fine-tuning with what the other adds."""
    subset, row = cell.context
    chosen = setting.chosen(arguments)
    images = subset.folder(arguments.cache / "data")
    with tempfile.TemporaryDirectory(prefix="peers-") as temporary:
        work = Path(temporary)
        command = _command(arguments, chosen, ROWS[row], [images / "train", images / "unlabeled"], subset.seed, work)
        report, distil = _measured(lambda: _distil(command, work, stop))
        # the fine-tuning finds that student under the old name, as its own pretrained weights
        local = argparse.Namespace(**{**vars(arguments), "weights": work})
        line, finetune = _measured(lambda: setting.run_on_photographs(local, cell, stop))
    found = f"lightly-train {report['versions']['lightly_train']}"
    if found != PEER:
        raise RunFailed(f"{arguments.peer} holds {found}; the results are of {PEER}")
    parts = {"distil": distil, "finetune": finetune}
    return {
        **line,
        "row": row,
        "teacher": chosen.teacher,
        "unlabelled": sum(1 for _ in (images / "unlabeled").iterdir()),
        "seconds": round(distil["seconds"] + finetune["seconds"], 1),
        "cpu_seconds": round(distil["cpu_seconds"] + finetune["cpu_seconds"], 1),
        "parts": parts,
        "peak_rss_mib": max(line["peak_rss_mib"] or 0, report["peak_rss_mib"]),
        "peer": PEER,
        "distillation": cell.facts["distillation"],
        "distil_report": report,
    }


def _command(
    arguments: argparse.Namespace,
    chosen: Setting,
    how: Distillation,
    images: Sequence[Path],
    seed: int,
    out: Path,
) -> list[str]:
    """Of the peer's own Python."""
    options: dict[str, Any] = {
        "weights": arguments.weights,
        "out": out,
        "teacher": chosen.teacher,
        "student": chosen.student,
        "method": how.method,
        "image-size": chosen.image_size,
        "teacher-size": how.teacher_size,
        "image-steps": chosen.image_steps,
        "batch-size": chosen.batch_size,
        "learning-rate": how.learning_rate,
        "seed": seed,
        "threads": arguments.threads,
    }
    named = [text for name, value in options.items() if value is not None for text in (f"--{name}", str(value))]
    return [str(arguments.peer), str(_SCRIPT), *named, "--images", *map(str, images)]


def _distil(command: Sequence[str], work: Path, stop: threading.Event) -> dict[str, Any]:
    """Run LightlyTrain and read its report.

    Raises:
        RunFailed: it ended without one.
        Interrupted: `stop` was set.
    """
    threads = command[command.index("--threads") + 1]
    environment = {
        "OMP_NUM_THREADS": threads,
        "LIGHTLY_TRAIN_EVENTS_DISABLED": "1",  # it tells its makers of every run otherwise
        "LIGHTLY_TRAIN_CACHE_DIR": str(work / "cache"),
        "HF_HUB_OFFLINE": "1",
        "MPLCONFIGDIR": str(work / "matplotlib"),
    }
    child = Child(command, env=environment)
    try:
        while not child.ended():
            if stop.is_set():
                raise Interrupted
            child.read(_POLL_SECONDS)
    finally:
        status = child.close()
    if status != 0:
        raise RunFailed(f"exit status {status}\n{child.stderr_tail()}")
    report: dict[str, Any] = json.loads((work / "report.json").read_bytes())
    return report


def _measured(part: Callable[[], Result]) -> tuple[Result, dict[str, float]]:
    """What it returns, with the wall and the CPU seconds of the processes that it started."""
    began, used = time.monotonic(), _cpu_seconds()
    result = part()
    return result, {
        "seconds": round(time.monotonic() - began, 1),
        "cpu_seconds": round(_cpu_seconds() - used, 1),
    }


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    setting.add_options(parser, RESULTS / "peers.jsonl")
    parser.set_defaults(**setting.PRETRAINED)
    parser.add_argument("--sets", nargs="+", default=DATA_SETS, help="names of the zip files")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), help="(all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--ours", type=Path, default=RESULTS / "pretrained.jsonl", help="our own rows (%(default)s)")
    parser.add_argument(
        "--peer", type=Path, default=Path("build/peers/bin/python"), help="LightlyTrain's Python (%(default)s)"
    )
    arguments = setting.parsed(parser)
    if arguments.weights is None and not arguments.table:
        parser.error("--weights is needed to run: teacher and student come from there")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
