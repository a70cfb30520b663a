"""What folded batch norms bring a frozen teacher on a CPU: `python -m benchmarks.models.folding`.

CPU seconds (user + system, which other load on the machine hardly changes) of the same batches, with and without them,
in turns, for each way to compute that a worker chooses from.
"""

import time

import torch
from torch import nn

from benchmarks.common.table import markdown
from worker.training.engine.allocator import keep_freed_memory
from worker.training.models.loading import load
from worker.training.models.networks import Execution, Teacher

TEACHERS = ("mobilenetv2_100", "resnet18", "resnet50", "efficientnet_b0", "densenet121", "convnext_pico")
WAYS = {
    "float32": Execution(),
    "float32, channels last": Execution(channels_last=True),
    "bfloat16, channels last": Execution("bfloat16", channels_last=True),
}
ROUNDS, IMAGES, SIDE = 5, 32, 128


def main() -> None:
    keep_freed_memory()
    torch.set_num_threads(1)  # a second thread that waits for a busy core would count as work
    rows = []
    for name in TEACHERS:
        loaded = load(f"{name}.random", SIDE)
        folded = Teacher(name, loaded.network, loaded.card, SIDE)
        plain = Teacher(name, loaded.network, loaded.card, SIDE)
        plain.tapped.model = loaded.network
        norms = [sum(isinstance(part, nn.BatchNorm2d) for part in one.modules()) for one in (plain, folded)]
        ratios = [ratio(plain, folded, way) for way in WAYS.values()]
        rows.append([f"`{name}`", f"{norms[0]} → {norms[1]}", *(f"{ratio:.2f}" for ratio in ratios)])
        print(" ".join(rows[-1]), flush=True)
    print("\n" + markdown(["teacher", "batch norms", *WAYS], rows))


def ratio(plain: Teacher, folded: Teacher, way: Execution) -> float:
    """How many times as fast the folded one is, by the least seconds of each."""
    images = torch.rand(IMAGES, 3, SIDE, SIDE)
    least = [float("inf")] * 2
    for number in range(1 + ROUNDS):
        for which, teacher in enumerate((plain, folded)):
            teacher.run_as(way)
            began = time.process_time()
            teacher(images)
            if number > 0:  # the first round warms up
                least[which] = min(least[which], time.process_time() - began)
    return least[0] / least[1]


if __name__ == "__main__":
    main()
