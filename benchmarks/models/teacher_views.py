"""What the teacher's views cost on this CPU: `python -m benchmarks.models.teacher_views`.

CPU milliseconds (user + system, which other load on the machine hardly changes) of a view of 224 px, by how many are
made and shown at once, each in a fresh process, in turns, on one thread: cut from stored squares; shifted; answered by
a teacher in the precision that a worker would choose; and the process's peak of resident memory. Medians.
"""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.common.table import markdown

TEACHERS = ("mobilenetv2_100.random", "vit_small_patch16_224.random")
AT_ONCE, SIDE, STORED, VIEWS, ROUNDS = (8, 16, 32, 128), 224, 257, 128, 3
HEADER = ("teacher", "views at once", "cut, ms", "shift, ms", "teacher, ms", "peak, MiB")


def main() -> None:
    rows = []
    for teacher in TEACHERS:
        found: dict[int, list[list[float]]] = {at_once: [] for at_once in AT_ONCE}
        for _ in range(ROUNDS):
            for at_once, figures in found.items():
                command = [sys.executable, "-m", __spec__.name, teacher, str(at_once)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                figures.append([float(figure) for figure in done.stdout.split()])
        for at_once, figures in found.items():
            *times, peak = (statistics.median(column) for column in zip(*figures, strict=True))
            rows.append([f"`{teacher}`", str(at_once), *(f"{each:.2f}" for each in times), f"{peak:.0f}"])
            print(" ".join(rows[-1]), flush=True)
    print(f"\n{markdown(HEADER, rows)}")


def measure(name: str, at_once: int) -> None:
    import numpy as np  # noqa: PLC0415 (after the allocator is set, as in a real run)
    import torch  # noqa: PLC0415

    from app.domain.config import ViewConfig  # noqa: PLC0415
    from app.domain.runtime import RuntimeConfig  # noqa: PLC0415
    from worker.training.data.views import SHIFT_NUMBERS, crop_matrices, cut, shift, uniform  # noqa: PLC0415
    from worker.training.engine.allocator import keep_freed_memory  # noqa: PLC0415
    from worker.training.engine.autotune import tune_teacher  # noqa: PLC0415
    from worker.training.models.networks import build_teacher  # noqa: PLC0415

    keep_freed_memory()
    torch.set_num_threads(1)  # a second thread that waits for a busy core would count as work
    with tempfile.TemporaryDirectory() as folder:
        teacher = tune_teacher(build_teacher(name, SIDE), RuntimeConfig(), Path(folder), lambda code, words: None)
    squares = torch.randint(0, 256, (at_once, STORED, STORED, 3), dtype=torch.uint8)
    keys, views = np.arange(at_once, dtype=np.uint64), np.arange(at_once)
    matrices = crop_matrices(0, keys, views, ViewConfig())
    numbers = torch.from_numpy(uniform(1, keys, views, SHIFT_NUMBERS))
    images = cut(squares, matrices, SIDE)
    work: tuple[Callable[[], object], ...] = (
        lambda: cut(squares, matrices, SIDE),
        lambda: shift(images, numbers),
        lambda: teacher(images),
    )
    times = [_milliseconds(each, VIEWS // at_once) / at_once for each in work]
    print(*times, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _milliseconds(work: Callable[[], object], times: int) -> float:
    """Mean of `times` calls, after one that warms up."""
    work()
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times * 1000


if __name__ == "__main__":
    measure(sys.argv[1], int(sys.argv[2])) if len(sys.argv) > 1 else main()
