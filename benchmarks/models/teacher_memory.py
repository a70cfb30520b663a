"""Whether asking the teacher takes more memory for more images: `python -m benchmarks.models.teacher_memory`.

In each of several fresh processes a teacher is asked about the same images over and over, each time as if they were
new; what counts is the process's memory that is no file's. It may differ between processes, but must not grow.
"""

import hashlib
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image

from app.domain.config import ViewConfig
from app.domain.dataset import Sample, Split
from worker.training.data.cache import Cache
from worker.training.data.decoded import Pool
from worker.training.engine.allocator import keep_freed_memory
from worker.training.models.networks import build_teacher
from worker.training.teacher.features import FeatureCache, TapSource

TEACHER, SIDE, VIEWS = "mobilenetv2_100.random", 128, 4
PROCESSES, IMAGES = 3, 250
ROUNDS = (1, 2, 4, 8)
"""After which the memory is read."""
SIDES = (160, 1200)
"""Of the images: photographs are of many sizes."""


def main() -> None:
    print(f"| process | {' | '.join(f'{rounds * IMAGES:,} images, MiB' for rounds in ROUNDS)} |")
    print("| --- " * (1 + len(ROUNDS)) + "|")
    for number in range(PROCESSES):
        done = subprocess.run(
            [sys.executable, "-m", __spec__.name, "measure"], stdout=subprocess.PIPE, text=True, check=True
        )
        print(f"| {number + 1} | {' | '.join(done.stdout.split())} |", flush=True)


def measure() -> None:
    keep_freed_memory()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pool = _pool(folder)
        cache = Cache(folder / "cache", 10**12)
        source = TapSource(build_teacher(TEACHER, SIDE), "", ViewConfig(), "bilinear")
        for number in range(1, max(ROUNDS) + 1):
            another = replace(source, digest=str(number))  # whose answers are not known yet
            FeatureCache.open(cache, another, "views", VIEWS).compute(pool, folder)
            if number in ROUNDS:
                memory = psutil.Process().memory_info()
                print(f"{(memory.rss - memory.shared) / 2**20:.0f}", flush=True)


def _pool(folder: Path) -> Pool:
    rng = np.random.default_rng(0)
    samples = []
    for number in range(IMAGES):
        width, height = rng.integers(*SIDES, 2)
        path = folder / f"{number}.jpg"
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize((width, height)).save(path)
        samples.append(Sample(id=hashlib.sha256(path.read_bytes()).hexdigest(), path=path.name, split=Split.UNLABELLED))
    return Pool(tuple(samples))


if __name__ == "__main__":
    measure() if len(sys.argv) > 1 else main()
