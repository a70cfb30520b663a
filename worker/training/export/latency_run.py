# ruff: noqa: T201 (printing is its task)
"""`python -m worker.training.export.latency_run`: how long one exported file takes, in its own runtime, in a process of
its own, where nothing else has warmed up, taken threads or filled memory.

Prints a JSON list of `Latency`. The images are random: what a network computes takes as long whatever they show.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.domain.manifest import Latency

BATCHES = (1, 32)
"""Images a call: what a camera asks for, and what a folder of images does."""
SECONDS = 1.0
"""Calls are timed for so long a batch size, ..."""
FEWEST_CALLS, MOST_CALLS = 10, 500
"""... unless they are fewer or more than this."""
LONGEST = 8.0
"""Seconds. After so long even fewer calls are enough, and a batch that would take longer by itself is not tried."""
WARM_UP_CALLS = 3
"""Not timed: runtimes plan, compile and allocate in their first calls; TorchScript optimises in its second."""

Call = Callable[[], object]
Prepare = Callable[[int], Call | None]
"""From images a call to the call, which has ended when it returns; None where the file takes no such batch. The images
lie on the device already."""

PICTURE = (480, 640, 3)
"""What a file that takes one picture of any size is given: [H, W, 3], as a camera has it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="the exported file; its suffix names the runtime")
    parser.add_argument("--image-size", type=int, required=True)
    parser.add_argument("--device", default="cpu", help="cpu, or a GPU by torch's name")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()

    device, prepare = _RUNTIMES[options.file.suffix](options)
    latencies: list[Latency] = []
    for batch in BATCHES:
        if latencies and batch * latencies[0].p50_ms / 1000 > LONGEST:
            break
        call = prepare(batch)
        if call is None:
            continue
        seconds = timed(call)
        p50, p95 = np.percentile(seconds, (50, 95))
        latencies.append(
            Latency(
                device=device,
                threads=options.threads,
                batch=batch,
                p50_ms=round(1000 * float(p50), 4),
                p95_ms=round(1000 * float(p95), 4),
                calls=len(seconds),
            )
        )
    print(json.dumps([latency.model_dump() for latency in latencies]))


def timed(call: Call) -> Sequence[float]:
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


def _onnx(options: argparse.Namespace) -> tuple[str, Prepare]:
    import onnxruntime  # noqa: PLC0415

    assert "torch" not in sys.modules
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    session = onnxruntime.InferenceSession(options.file, settings, providers=["CPUExecutionProvider"])
    (wanted,) = session.get_inputs()
    dtype = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8"}[wanted.type]

    one_picture = len(wanted.shape) == len(PICTURE)

    def prepare(batch: int) -> Call | None:
        if one_picture and batch > 1:
            return None
        images = _images(dtype, PICTURE if one_picture else (batch, 3, options.image_size, options.image_size))
        return lambda: session.run(None, {wanted.name: images})

    return "cpu", prepare


def _torch(options: argparse.Namespace) -> tuple[str, Prepare]:
    import torch  # noqa: PLC0415

    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    model = _load(options.file, device)
    side = options.image_size

    def prepare(batch: int) -> Call:
        images = torch.from_numpy(_images("float32", (batch, 3, side, side))).to(device)

        def call() -> None:
            with torch.inference_mode():
                model(images)
            if device.type == "cuda":
                torch.cuda.synchronize(device)

        return call

    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu", prepare


def _load(path: Path, device: Any) -> Any:
    import torch  # noqa: PLC0415
    from torch.export.passes import move_to_device_pass  # noqa: PLC0415

    if path.suffix == ".ts":
        return torch.jit.load(path, map_location=device)
    program = torch.export.load(path)
    return (program if device.type == "cpu" else move_to_device_pass(program, str(device))).module()


def _images(dtype: str, shape: Sequence[int]) -> npt.NDArray[Any]:
    random = np.random.default_rng(0)
    if dtype == "uint8":
        return random.integers(0, 256, shape, np.uint8)
    return random.standard_normal(shape).astype(dtype)


_RUNTIMES = {".onnx": _onnx, ".ts": _torch, ".pt2": _torch}

if __name__ == "__main__":
    main()
