"""The import beside decoding alone: `python -m benchmarks.ingest.import_speed ARCHIVE [--rounds 5] [--scale 6]`.

Decoding alone: as many processes as the import uses, each with its share of a zip's entries, do nothing but Pillow's
decoding to RGB. Both run in turns; wall time depends on what else the machine does, CPU time hardly. `--scale` enlarges
some 600 of the images first: the archives at hand are of small images, phones take large ones.
"""

import argparse
import io
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from app.imaging import MAX_PIXELS
from app.ingest.decoders import processes_for


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=int, default=1)
    options = parser.parse_args()
    if options.scale > 1:
        with tempfile.TemporaryDirectory() as folder:
            measure(enlarged(options.archive, options.scale, Path(folder)), options.rounds)
    else:
        measure(options.archive, options.rounds)


def enlarged(archive: Path, scale: int, folder: Path) -> Path:
    """A zip of some of the images, each `scale` times as wide and as high."""
    target = folder / f"{archive.stem} at {scale} times the size"
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(target, "w") as copy:
        infos = source.infolist()
        for info in infos[:: max(1, len(infos) // 600)]:
            with Image.open(io.BytesIO(source.read(info))) as image:
                file = io.BytesIO()
                image.resize((image.width * scale, image.height * scale), Image.Resampling.BICUBIC).save(file, "JPEG")
            copy.writestr(info.filename, file.getvalue())
    return target


def measure(path: Path, rounds: int) -> None:
    with zipfile.ZipFile(path) as archive:
        images = len([info for info in archive.infolist() if not info.is_dir()])
    processes = processes_for(MAX_PIXELS)
    print(f"{path.name}: {images} images, {processes} processes, median of {rounds} rounds")
    measured: dict[str, list[tuple[float, float]]] = {"decoding alone": [], "import": []}
    for _ in range(rounds):
        measured["decoding alone"].append(timed(lambda: decode_alone(path, processes)))
        measured["import"].append(timed(lambda: import_whole(path)))
    medians = {
        what: [statistics.median(column) for column in zip(*some, strict=True)] for what, some in measured.items()
    }
    print("| what | wall, s | images/s | CPU, s |\n|---|---|---|---|")
    for what, (wall, cpu) in medians.items():
        print(f"| {what} | {wall:.2f} | {images / wall:.0f} | {cpu:.2f} |")
    (alone, alone_cpu), (whole, whole_cpu) = medians.values()
    print(f"decoding alone / import: {alone / whole:.2f} of wall time, {alone_cpu / whole_cpu:.2f} of CPU time")


def timed(run: Callable[[], None]) -> tuple[float, float]:
    """Wall and CPU seconds, those of ended children included."""
    before, began = os.times(), time.monotonic()
    run()
    after = os.times()
    return time.monotonic() - began, sum(after[:4]) - sum(before[:4])


def decode_alone(archive: Path, processes: int) -> None:
    context = multiprocessing.get_context("fork")
    shares = [context.Process(target=_decode_share, args=(archive, number, processes)) for number in range(processes)]
    for share in shares:
        share.start()
    for share in shares:
        share.join()


def _decode_share(archive: Path, number: int, processes: int) -> None:
    with zipfile.ZipFile(archive) as source:
        for info in source.infolist()[number::processes]:
            if not info.is_dir():
                with Image.open(io.BytesIO(source.read(info))) as image:
                    image.convert("RGB")


def import_whole(archive: Path) -> None:
    out = Path(tempfile.mkdtemp())
    subprocess.run([sys.executable, "-m", "app.ingest", archive, out], check=True, capture_output=True)
    assert (out / "prepared.zip").is_file()
    shutil.rmtree(out)


if __name__ == "__main__":
    main()
