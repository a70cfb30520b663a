"""What Muon's precision costs on this CPU: `python benchmarks/muon.py`.

CPU seconds (user + system, which other load on the machine hardly changes) of an optimiser's step in each precision,
in turns, and of forward and backward of the same batch; one thread, a student at 96 px, batches of 32.
"""

import time
from collections.abc import Callable

import timm
import torch
from timm.optim import create_optimizer_v2

from benchmarks.table import markdown
from worker.training.memory import keep_freed_memory
from worker.training.muon import orthogonalise_in

STUDENTS = ("mobilenetv3_small_050", "mobilenetv3_small_100", "resnet18")
PRECISIONS = (torch.float32, torch.bfloat16)
ROUNDS, IMAGES, SIDE, CLASSES = 3, 32, 96, 10
HEADER = ("student", "forward and backward, s", "step in float32", "step in bfloat16")


def main() -> None:
    keep_freed_memory()
    torch.set_num_threads(1)
    rows = []
    for name in STUDENTS:
        learning, *steps = measured(name)
        ratios = (f"{seconds:.3f} ({seconds / learning:.2f} ×)" for seconds in steps)
        rows.append([f"`{name}`", f"{learning:.3f}", *ratios])
        print(" ".join(rows[-1]), flush=True)
    print(f"\n{torch.backends.cpu.get_cpu_capability()}\n\n{markdown(HEADER, rows)}")


def measured(name: str) -> tuple[float, ...]:
    """The least CPU seconds of forward and backward, and of a step in each precision."""
    torch.manual_seed(0)
    student = timm.create_model(name, num_classes=CLASSES).train().to(memory_format=torch.channels_last)
    optimiser = create_optimizer_v2(student, opt="muon", lr=1e-3, weight_decay=0.05)
    images = torch.rand(IMAGES, 3, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
    least = [float("inf")] * (1 + len(PRECISIONS))
    for number in range(1 + ROUNDS):
        optimiser.zero_grad()
        seconds = [seconds_of(lambda: student(images).square().mean().backward())]
        for precision in PRECISIONS:
            orthogonalise_in(precision)
            seconds.append(seconds_of(optimiser.step))
        if number > 0:  # the first round warms up
            least = [min(pair) for pair in zip(least, seconds, strict=True)]
    return tuple(least)


def seconds_of(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    main()
