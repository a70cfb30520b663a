"""Runs one exported file in its own runtime, in a process of its own:
`python -m worker.training.export.runtime MODULE (parity | latency) FILE …`, where MODULE defines the file's format.

A fresh process knows the file and nothing else: no class definitions, no weights, for ONNX not even torch, and nothing
has warmed up, taken threads or filled memory. How images are to be prepared it reads from the file's metadata, as a
user would.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import worker.training
from app.domain.manifest import Latency, Preprocessing
from app.imaging import clean_square, open_rgb
from worker.training.export.format import Format, normalise, uneven_batches
from worker.training.export.formats import MODULES

OTHER_SQUARE = 3
"""Exit status where metadata and evaluation prepare an image differently; the row is printed."""

BATCHES = (1, 32)
"""Images a call: what a camera asks for, and what a folder of images does."""
PICTURE = (480, 640, 3)
"""The one picture that a format which takes pictures is timed with: [H, W, 3], as a camera has it."""
SECONDS = 1.0
"""Calls are timed for so long a batch size, ..."""
FEWEST_CALLS, MOST_CALLS = 10, 500
"""... unless they are fewer or more than this."""
LONGEST = 8.0
"""Seconds. After so long even fewer calls are enough, and a batch that would take longer by itself is not tried."""
WARM_UP_CALLS = 3
"""Not timed: runtimes plan, compile and allocate in their first calls; TorchScript optimises in its second."""


def start(
    chosen: Format, action: str, *arguments: str, threads: int, gpu: bool = False, timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run this module for a file of the `chosen` format. Paths among the `arguments` are absolute; without `gpu` it
    sees no accelerator."""
    return subprocess.run(
        [sys.executable, "-m", __name__, MODULES[chosen.name], action, *arguments, "--threads", str(threads)]
        + (["--gpu"] if gpu else []),
        cwd=Path(next(iter(worker.training.__path__))).resolve().parents[1],  # where it finds this code
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("format", metavar="MODULE", type=lambda module: import_module(module).FORMAT)
    actions = parser.add_subparsers(required=True)

    parity = actions.add_parser("parity", help="write the file's logits on real images")
    parity.set_defaults(action=write_logits)
    parity.add_argument("file", type=Path)
    parity.add_argument("images", type=Path, help="uint8 [N, S, S, 3] as .npy")
    parity.add_argument("logits", type=Path, help="where to write float32 [N, K] as .npy")
    parity.add_argument("--preprocessing", type=Preprocessing.model_validate_json, help="default: what the file says")
    parity.add_argument("--originals", type=Path, help="JSON: [row of `images`, image file] for each to be compared")

    latency = actions.add_parser("latency", help="print how long the file takes, as a JSON list of `Latency`")
    latency.set_defaults(action=print_latencies)
    latency.add_argument("file", type=Path)
    latency.add_argument("--image-size", type=int, required=True)
    latency.add_argument("--device", default="cpu", help="cpu, or a GPU by torch's name")

    for action in (parity, latency):
        action.add_argument("--threads", type=int, default=1)
        action.add_argument("--gpu", action="store_true", help="leave the accelerator visible")
    options = parser.parse_args()
    if not options.gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the accelerator is left to the trainer
    status: int = options.action(options)
    return status


def write_logits(options: argparse.Namespace) -> int:
    """Returns the exit status."""
    chosen: Format = options.format
    loaded = chosen.load(options.file, threads=options.threads)
    how: Preprocessing = options.preprocessing or Preprocessing.model_validate_json(loaded.metadata["preprocessing"])
    images = np.load(options.images, mmap_mode="r")
    originals = dict(json.loads(options.originals.read_text())) if options.originals else {}
    for row, file in originals.items():
        if not np.array_equal(clean_square(open_rgb(Path(file)), how), images[row]):
            sys.stdout.write(str(row))
            return OTHER_SQUARE

    def run(inputs: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        return loaded.logits(loaded.prepare(inputs)())

    if chosen.takes_pictures:
        logits = [
            run(np.asarray(open_rgb(Path(originals[row])) if originals else images[row]))[None]
            for row in range(len(images))
        ]
    else:
        logits = [run(normalise(batch, how.mean, how.std, how.scale)) for batch in uneven_batches(images)]
    np.save(options.logits, np.concatenate(logits))
    return 0


def print_latencies(options: argparse.Namespace) -> int:
    """Of random images: a network takes as long whatever they show. Returns the exit status."""
    chosen: Format = options.format
    loaded = chosen.load(options.file, threads=options.threads, device=options.device)
    random = np.random.default_rng(0)
    latencies: list[Latency] = []
    for batch in BATCHES[:1] if chosen.takes_pictures else BATCHES:
        if latencies and batch * latencies[0].p50_ms / 1000 > LONGEST:
            break
        if chosen.takes_pictures:
            images: npt.NDArray[Any] = random.integers(0, 256, PICTURE, np.uint8)
        else:
            images = random.standard_normal((batch, 3, options.image_size, options.image_size)).astype(np.float32)
        seconds = timed(loaded.prepare(images))
        p50, p95 = np.percentile(seconds, (50, 95))
        latencies.append(
            Latency(
                device=loaded.device,
                threads=options.threads,
                batch=batch,
                p50_ms=round(1000 * float(p50), 4),
                p95_ms=round(1000 * float(p95), 4),
                calls=len(seconds),
            )
        )
    sys.stdout.write(json.dumps([latency.model_dump() for latency in latencies]) + "\n")
    return 0


def timed(call: Callable[[], object]) -> Sequence[float]:
    """Seconds of each of its calls, at least one."""
    began = time.perf_counter()
    for _ in range(WARM_UP_CALLS):
        call()
        if time.perf_counter() - began > LONGEST / 2:
            break
    seconds: list[float] = []
    began = last = time.perf_counter()
    while True:
        call()
        now = time.perf_counter()
        seconds.append(now - last)
        last, spent = now, now - began
        enough = spent > SECONDS and len(seconds) >= FEWEST_CALLS
        if enough or spent > LONGEST or len(seconds) >= MOST_CALLS:
            return seconds


if __name__ == "__main__":
    sys.exit(main())
