"""Size of an exported file, and its latency on this worker."""

import logging
import platform
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from pydantic import TypeAdapter

from app.domain.manifest import Latency, Measurement
from worker.training.export import formats
from worker.training.export.format import Format
from worker.training.export.runtime import start

TIMEOUT_SECONDS = 120
"""Of one process; it takes about 5 and, with a network that takes seconds an image, half a minute."""

MEASURED, NOT_MEASURED = "measured", "not_measured"
"""Codes of events."""

_LATENCIES = TypeAdapter(tuple[Latency, ...])
log = logging.getLogger(__name__)


def measure_files(
    folder: Path,
    names: Iterable[str],
    *,
    image_size: int,
    device: torch.device,
    timed: bool,
    on_event: Callable[[str, str], None],
    on_file: Callable[[str, float], None] = lambda chosen, seconds: None,
) -> dict[str, Measurement]:
    """Bytes and latencies of published files of one student, by name.

    A file that cannot be timed has no latencies; it is published all the same, as its parity has been checked.

    Args:
        image_size: side in pixels of the square that the student takes.
        device: the run's own. Where it is a GPU, the formats that can use it are timed there too.
        timed: False leaves it at the bytes.
        on_event: takes a code and a sentence, once a file whose time was to be taken.
        on_file: takes the format of such a file, and how long that took.
    """
    measured = {}
    for name in names:
        path = folder / name
        latencies: list[Latency] = []
        if timed:
            chosen = formats.of_file(name)
            assert chosen is not None
            began = time.monotonic()
            on_gpu = device.type == "cuda" and chosen.timed_on_gpu
            for place in ("cpu", str(device)) if on_gpu else ("cpu",):
                latencies += _latencies(chosen, path, image_size, place)
            on_event(MEASURED if latencies else NOT_MEASURED, _say(name, latencies))
            on_file(chosen.name, time.monotonic() - began)
        measured[name] = Measurement(bytes=path.stat().st_size, latencies=tuple(latencies))
    return measured


def cpu_name() -> str:
    """As the operating system calls it: `AMD EPYC 7B13`."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def _latencies(chosen: Format, path: Path, image_size: int, device: str) -> tuple[Latency, ...]:
    arguments = (str(path.resolve()), "--image-size", str(image_size), "--device", device)
    threads = torch.get_num_threads()
    try:
        done = start(chosen, "latency", *arguments, threads=threads, gpu=device != "cpu", timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        log.warning("%s takes more than %d seconds to be timed on %s", path.name, TIMEOUT_SECONDS, device)
        return ()
    if done.returncode != 0:
        log.warning("%s cannot be timed on %s: %s", path.name, device, done.stderr)
        return ()
    return _LATENCIES.validate_json(done.stdout)


def _say(name: str, latencies: Iterable[Latency]) -> str:
    said = [
        f"{each.batch} image{'s' if each.batch > 1 else ''} in {each.p50_ms:.3g} ms "
        f"(p95 of {each.calls} calls: {each.p95_ms:.3g} ms) on {each.device}, {each.threads} "
        f"thread{'s' if each.threads > 1 else ''}"
        for each in latencies
    ]
    return f"{name} takes {'; '.join(said)}." if said else f"{name} could not be timed on this worker."
