"""A folder of many small files sent by the client, beside `zip -0` of it: `python -m benchmarks.service.folder_upload`.

In each round `zip -0 -r` packs the folder, which makes a file of the same bytes and sends nothing; and a process with
the client uploads it to an API process. What counts is the ratio of the rates within a round: other work on the machine
slows both. The client's memory is the peak of its process, less what it holds once it is imported and has made a
request.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import RESULTS
from benchmarks.common.table import markdown
from benchmarks.common.training import machine_name
from benchmarks.service.api_process import ApiProcess

CLASSES = 100
_CLIENT = """
import json, os, resource, sys, time
from tdmr import Tdmr

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

with Tdmr(sys.argv[1]) as client:
    client.datasets.list(limit=1).first()
    ready, began = resident(), time.perf_counter()
    dataset = client.datasets.create(sys.argv[2], wait=False, progress=False)
    seconds, peak = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "ready": ready, "peak": peak, "bytes": dataset.bytes}))
"""
Round = Mapping[str, float]


def main() -> int:
    options = _options()
    rounds: list[Round] = []
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        write_images(folder / "photos", options.images, options.bytes)
        api = ApiProcess(folder / "home")
        api.start()
        try:
            for number in range(options.rounds):
                rounds.append(
                    {**_zipped(folder / "photos"), **_uploaded(api, folder / "photos", folder / f"c{number}")}
                )
                print(f"round {number}: {rounds[-1]}", flush=True)
        finally:
            api.kill()
    line = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "what": "folder upload",
        "machine": machine_name(),
        "images": options.images,
        "rounds": rounds,
    }
    with options.results.open("a") as results:
        results.write(json.dumps(line) + "\n")
    print(table(rounds))
    return 0


def table(rounds: list[Round]) -> str:
    """Medians over the rounds."""

    def median(name: str) -> float:
        return statistics.median(found[name] for found in rounds)

    ratio = statistics.median(found["zip_seconds"] / found["seconds"] for found in rounds)
    megabytes = median("bytes") / 1e6
    rows = [
        ["`zip -0 -r`", f"{median('zip_seconds'):.1f} s", f"{megabytes / median('zip_seconds'):,.0f} MB/s", "1.00", ""],
        [
            "the client, to the service",
            f"{median('seconds'):.1f} s",
            f"{megabytes / median('seconds'):,.0f} MB/s",
            f"{ratio:.2f}",
            f"{median('peak') / 1e6:.0f} MB, {(median('peak') - median('ready')) / 1e6:.0f} MB of them for this",
        ],
    ]
    return markdown(["way", "time", "rate", "of zip's", "memory"], rows)


def write_images(folder: Path, count: int, size: int) -> None:
    """Files of random bytes in folders of classes; nothing looks into them."""
    for number in range(count):
        path = folder / f"class {number % CLASSES:03}" / f"image {number:06}.jpg"
        if number < CLASSES:
            path.parent.mkdir(parents=True)
        path.write_bytes(os.urandom(size))


def _zipped(folder: Path) -> Round:
    target = folder.with_suffix(".zip")
    began = time.perf_counter()
    subprocess.run(["zip", "-0", "-q", "-r", str(target), "."], cwd=folder, check=True)
    found = {"zip_seconds": round(time.perf_counter() - began, 3), "zip_bytes": target.stat().st_size}
    target.unlink()
    return found


def _uploaded(api: ApiProcess, folder: Path, cache: Path) -> Round:
    environment = os.environ | {"TDMR_CACHE": str(cache)}  # of its own: nothing is remembered from the round before
    command = [sys.executable, "-c", _CLIENT, api.url, str(folder)]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return {name: round(value, 3) for name, value in found.items()}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--bytes", type=int, default=10_000, help="of each image")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the folder and the service's home lie meanwhile")
    parser.add_argument("--results", type=Path, default=RESULTS / "uploads.jsonl")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
