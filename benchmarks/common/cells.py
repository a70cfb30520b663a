"""A benchmark is a list of cells: one cell is one run, and one line in a results file once it is done.

So a benchmark can be stopped at any time and goes on where it was, and several processes can work on the same file:
each cell is claimed with a file lock, which goes when its holder does.
"""

import argparse
import fcntl
import hashlib
import json
import signal
import statistics
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.domain.config import DistillConfig, StudentConfig
from app.domain.spec import TrainingSpec
from worker.training.methods import registry  # noqa: F401  makes every method known

Line = dict[str, Any]
"""One line of a results file."""
Run = Callable[["Cell", threading.Event], Line]
"""Runs a cell; the event is set when it shall stop."""

_CHOOSY = DistillConfig.model_fields.keys() - StudentConfig.model_fields.keys()
"""The options of `distill` that not every method reads."""
_TEACHERS = {"teacher", "teachers", "reprogram", "views.count", "views.mode", "views.seed"}
_NEVER = {"export"}


@dataclass(frozen=True)
class Cell:
    """One run. It is known by its facts and by those options of its spec that its method reads."""

    facts: Line
    """What the data are, and whatever else tells cells apart that their specs do not."""
    spec: dict[str, Any]
    """A TrainingSpec as JSON."""
    label: str = ""
    """For people: what a progress line calls it. It tells no cells apart."""
    context: Any = field(default=None, compare=False)
    """What the runner needs to know."""

    @property
    def options(self) -> dict[str, Any]:
        """The whole spec, by dotted names, without what the method does not read."""
        spec = TrainingSpec(**self.spec)
        unread = _NEVER | {f"distill.{option}" for option in _CHOOSY - set(spec.method_info.reads)}
        if not spec.method_info.needs_teacher:
            unread |= _TEACHERS
        return {
            name: value
            for name, value in _flat(spec.model_dump(mode="json"))
            if name not in unread and name.partition(".")[0] not in unread
        }

    def is_on(self, line: Line) -> bool:
        """Whether this line is this cell's result.

        A line without an option is older than that option, which is taken to have changed nothing at its default. A
        default that has changed since makes another cell.
        """
        recorded = dict(_flat(line.get("spec", {})))
        return all(line.get(name) == value for name, value in self.facts.items()) and all(
            recorded[name] == value for name, value in self.options.items() if name in recorded
        )


def run_cells(cells: Sequence[Cell], results: Path, run: Run, jobs: int = 1) -> list[str]:
    """Run those cells that are not in the results file, in their order, `jobs` at a time.

    Returns:
        What went wrong, one text a failed cell; the others are run nevertheless.
    """
    results.parent.mkdir(parents=True, exist_ok=True)
    done = read(results)
    todo = [cell for cell in cells if find(cell, done) is None]
    print(f"{len(cells)} cells, {len(cells) - len(todo)} of them in {results}", flush=True)
    progress, stop, failures = _Progress(len(cells), len(todo), jobs), threading.Event(), []

    def work(cell: Cell) -> None:
        with _claimed(results, cell) as ours:
            # it may have been run elsewhere since the file was read
            if stop.is_set() or not ours or find(cell, read(results)) is not None:
                progress.skip()
                return
            try:
                line = run(cell, stop)
            except Exception as error:
                if not stop.is_set():
                    failures.append(f"{cell.label}: {str(error).partition(chr(10))[0]}")
                    progress.tell(cell, f"FAILED, {error}")
                return
            _append(results, line)
            progress.tell(cell, _in_short(line), line["seconds"])

    with ThreadPoolExecutor(jobs) as pool:
        handler = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            for future in [pool.submit(work, cell) for cell in todo]:
                future.result()
        finally:
            stop.set()
            signal.signal(signal.SIGTERM, handler)
    return failures


def run_and_show(
    arguments: argparse.Namespace, cells: Sequence[Cell], run: Run, shown: Callable[[list[Line]], str], jobs: int = 1
) -> int:
    """The program of most benchmarks: run what has no result yet, unless only the table is asked for, and print what
    is there. Returns the exit status."""
    failures = [] if arguments.table else run_cells(cells, arguments.results, run, jobs)
    recorded = read(arguments.results)
    print(shown([line for cell in cells if (line := find(cell, recorded)) is not None]))
    print("".join(f"\nfailed: {failure}" for failure in failures))
    return 1 if failures else 0


def read(results: Path) -> list[Line]:
    """All lines of a results file; none if there is no such file."""
    return [json.loads(line) for line in results.read_text().splitlines()] if results.is_file() else []


def find(cell: Cell, lines: Sequence[Line]) -> Line | None:
    """The cell's result; the latest if there are several."""
    return next((line for line in reversed(lines) if cell.is_on(line)), None)


@contextmanager
def _claimed(results: Path, cell: Cell) -> Iterator[bool]:
    """Whether no other process on this machine is at this cell. The claim ends with the block, or with the process."""
    name = hashlib.sha256(json.dumps([str(results.resolve()), cell.facts, cell.options]).encode()).hexdigest()
    folder = Path(tempfile.gettempdir(), "tdmr-benchmarks", "claims")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _append(results: Path, line: Line) -> None:
    with results.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(line) + "\n")


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _in_short(line: Line) -> str:
    accuracy = line.get("student_accuracy", line.get("probe_accuracy"))
    return f"{line['seconds']:.0f} s" if accuracy is None else f"{accuracy:.1%} in {line['seconds']:.0f} s"


class _Progress:
    """Prints a line a cell: which of how many, what came out, and how long the rest will take."""

    def __init__(self, count: int, todo: int, jobs: int) -> None:
        self.count = count
        self.left = todo
        self.jobs = jobs
        self.seconds: list[float] = []
        self._lock = threading.Lock()

    def skip(self) -> None:
        with self._lock:
            self.left -= 1

    def tell(self, cell: Cell, outcome: str, seconds: float | None = None) -> None:
        with self._lock:
            self.left -= 1
            self.seconds += [] if seconds is None else [seconds]
            text = f"[{self.count - self.left} of {self.count}] {cell.label}: {outcome}"
            if self.left and self.seconds:
                rest = statistics.mean(self.seconds) * self.left / self.jobs
                text += f" · about {rest / 60:.0f} min left"
            print(text, flush=True)
