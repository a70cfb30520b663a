"""Fuzz the door: the archive walker, the image decoder and the whole import, with damaged and hostile files.

    python -m benchmarks.ingest.fuzz --seconds 900 --seed 0

A case is made from its number alone, so a bad one can be repeated: `--case 12345`. A batch of cases runs in a process
of its own; it fails when a case raises anything but a rejection, when anything is opened for writing outside of its
folder, when a process dies, or when it hangs.
"""

import argparse
import multiprocessing
import random
import resource
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from app.domain.dataset import DatasetIndex
from app.domain.errors import DatasetRejected
from app.ingest import Limits, import_archive, unpack_prepared
from app.ingest.archive import open_archive
from app.ingest.picture import Picture, finish, inspect_image
from benchmarks.ingest.mutations import archive, mutated, picture

LIMITS = Limits(max_members=200, max_unpacked_bytes=8 * 2**20, max_image_pixels=4_000_000, max_file_bytes=4 * 2**20)
BATCH = 200
HANG_SECONDS = 300.0
WRITING = frozenset(
    {"os.mkdir", "os.symlink", "os.link", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.truncate"}
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=900)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="run this one alone")
    options = parser.parse_args()
    if options.case is not None:
        with tempfile.TemporaryDirectory() as folder:
            print(run_case(options.seed, options.case, Path(folder)))
        return
    found, first, began, failures = Counter[str](), 0, time.monotonic(), []
    slowest, memory = 0.0, 0
    while time.monotonic() - began < options.seconds:
        batch = run_batch(options.seed, first)
        if isinstance(batch, str):
            failures.append(f"cases {first} to {first + BATCH - 1}: {batch}")
        else:
            found.update(batch[0])
            slowest, memory = max(slowest, batch[1]), max(memory, batch[2])
        first += BATCH
    print(f"{first} cases in {time.monotonic() - began:.0f} s, seed {options.seed}")
    for what, count in sorted(found.items()):
        print(f"  {count:8d}  {what}")
    print(f"slowest case {slowest:.2f} s of CPU; a batch's processes had at most {memory / 2**20:.0f} MiB each")
    print("\n".join(failures) or "no failure")
    sys.exit(bool(failures))


Batch = tuple[Counter[str], float, int]
"""Outcomes, seconds of the slowest case, bytes of the largest process."""


def run_batch(seed: int, first: int) -> Batch | str:
    """What came out, or what went wrong."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    process = multiprocessing.get_context("fork").Process(target=_batch, args=(seed, first, folder, theirs))
    process.start()
    theirs.close()
    try:
        answer: Batch | str = ours.recv() if ours.poll(HANG_SECONDS) else "it hangs"
    except EOFError:
        answer = "its process died"
    if process.is_alive() and answer == "it hangs":
        process.kill()
    process.join()
    shutil.rmtree(folder)
    return answer


def _batch(seed: int, first: int, folder: Path, answer: Connection) -> None:
    _watch_writes(folder)
    warnings.simplefilter("ignore")  # Pillow's, of damaged tags
    found, slowest = Counter[str](), 0.0
    for number in range(first, first + BATCH):
        began = time.process_time()
        try:
            found[run_case(seed, number, folder)] += 1
        except BaseException as error:
            answer.send(f"case {number}: {type(error).__name__}: {error}")
            return
        slowest = max(slowest, time.process_time() - began)
    usage = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    answer.send((found, slowest, max(usage) * 1024))


def run_case(seed: int, number: int, folder: Path) -> str:
    """What became of it, in a word or two."""
    rng = random.Random(f"{seed} {number}")
    kind: Callable[[random.Random, Path], str] = rng.choices((_image, _walk, _import), (60, 36, 4))[0]
    return kind(rng, folder)


def _image(rng: random.Random, _folder: Path) -> str:
    data = picture(rng)
    seen = inspect_image(mutated(rng, data) if rng.random() < 0.95 else data, LIMITS.max_image_pixels)
    if isinstance(seen, str):
        return "image skipped"
    assert seen.width * seen.height <= LIMITS.max_image_pixels
    return "image accepted"


def _walk(rng: random.Random, folder: Path) -> str:
    path = folder / "archive"
    path.write_bytes(_some_archive(rng))
    try:
        opened = open_archive(path, LIMITS)
        total = 0
        for entry, data in opened.walk(lambda entry: True):
            total += len(data)
            assert len(data) == entry.size
            parts = entry.path.split("/")
            assert parts and not {"", ".", ".."} & set(parts) and "\\" not in entry.path and "\0" not in entry.path
        assert total <= LIMITS.max_unpacked_bytes
        assert len(opened.entries) <= LIMITS.max_members
    except DatasetRejected as rejected:
        assert rejected.detail.isprintable() and str(folder) not in rejected.detail
        return "archive rejected"
    return "archive accepted"


def _import(rng: random.Random, folder: Path) -> str:
    path, out, data = folder / "archive", folder / "out", folder / "data"
    path.write_bytes(_some_archive(rng))
    result = import_archive(path, out, limits=LIMITS, processes=1)
    left = sorted(file.name for file in out.iterdir())
    try:
        if result.report is None:
            assert left == [], left
            return "import rejected"
        assert left == ["prepared.zip", "preview.json", "report.json"], left
        unpack_prepared(out / "prepared.zip", data)
        index = DatasetIndex.model_validate_json((data / "index.json").read_bytes())
        for sample in index.samples:  # training never meets a bad file
            seen = inspect_image((data / sample.path).read_bytes())
            assert isinstance(seen, Picture) and seen.plain, seen
            finish((data / sample.path).read_bytes())
        return "import accepted"
    finally:
        shutil.rmtree(out)
        shutil.rmtree(data, ignore_errors=True)


def _some_archive(rng: random.Random) -> bytes:
    data = archive(rng)
    return mutated(rng, data) if rng.random() < 0.5 else data


def _watch_writes(folder: Path) -> None:
    """From now on any write outside of the folder is an error, in this process and in those that it starts."""
    inside = str(folder)

    def check(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            path, mode, _ = arguments
            writes = isinstance(mode, str) and any(letter in mode for letter in "wax+")
        else:
            # relative to a folder that is open already: shutil.rmtree() goes down that way
            path, writes = arguments[0] if arguments else None, event in WRITING and arguments[-1] == -1
        if writes and isinstance(path, str | bytes | Path) and not str(path).startswith((inside, "/dev/")):
            raise AssertionError(f"{event} outside of the folder: {path!r}")

    sys.addaudithook(check)


if __name__ == "__main__":
    main()
