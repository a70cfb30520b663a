"""curl against downloads that break: `python -m benchmarks.service.download`.

A job's file of random bytes is downloaded through a line that is cut several times, and then from an API process that
gets SIGKILL several times and is started again; the zip of the job likewise. Each time `curl -C -` goes on from what
it has. Prints whether the hash is that of the published file, where it broke, and how much memory each life of the API
took on beyond what it had when it was ready.
"""

import argparse
import json
import subprocess
import tempfile
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path

from app.db.engine import Store
from app.db.ids import new_id
from app.db.models import Artifact, Job
from app.domain.files import sha256_file
from app.domain.spec import JobSpec
from app.domain.states import JobState
from app.settings import Settings
from app.storage.blobs import Blobs
from app.storage.keys import artifact_key
from benchmarks import RESULTS
from benchmarks.service.api_process import ApiProcess, Watch
from benchmarks.service.broken_line import BrokenLine
from benchmarks.service.tus import MEGABYTE, write_random

NAME = "student.safetensors"
BROKEN = {18, 52, 56, 7}
"""What curl says of a line that broke: part of a file, no answer, nothing received; and of an API that is not up."""
SLOWLY = "40M"
"""Bytes a second, where the API must still be sending when it is killed."""


def publish(settings: Settings, source: Path) -> str:
    """A succeeded job that has published this file; gives its id."""
    job_id, dataset_id = new_id("job"), new_id("ds")
    spec = JobSpec(dataset_id=dataset_id, student="resnet18", method="scratch")
    key = artifact_key(job_id, 1, NAME)
    Blobs(settings.storage).put_file(key, source)
    store = Store(settings.database)
    with store.write() as session:
        job = Job(id=job_id, dataset_id=dataset_id, spec=spec.model_dump(mode="json"), state=JobState.SUCCEEDED)
        session.add(job)
        session.flush()
        size, sha256, kind = source.stat().st_size, sha256_file(source), "application/octet-stream"
        session.add(Artifact(job_id=job_id, name=NAME, bytes=size, sha256=sha256, media_type=kind, storage_key=key))
    store.close()
    return job_id


def download(url: str, target: Path, *more: str) -> list[int]:
    """`curl -C -`, again until it has all; gives how many bytes it had at each break."""
    broke_at = []
    while True:
        command = ["curl", "--silent", "--fail", "-C", "-", "--output", str(target), *more, url]
        status = subprocess.run(command, check=False, timeout=600).returncode
        if status == 0:
            return broke_at
        if status not in BROKEN:
            raise RuntimeError(f"curl ended with {status}")
        if not broke_at or _size(target) != broke_at[-1]:
            broke_at.append(_size(target))
        time.sleep(0.1)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def unzipped(path: Path) -> Path:
    with zipfile.ZipFile(path) as archive:
        return Path(archive.extract(NAME, path.parent / "unzipped"))


def main() -> int:
    options = _options()
    length, good = options.megabytes * MEGABYTE, True
    for what in ("file", "zip"):
        for how in ("cut", "killed"):
            with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                line = measure(Path(folder), what, how, length, options.breaks)
            print(json.dumps(line))
            with options.results.open("a") as results:
                results.write(json.dumps(line) + "\n")
            good = good and bool(line["hash_equal"]) and len(line["broke_at"]) == options.breaks
    return 0 if good else 1


def measure(folder: Path, what: str, how: str, length: int, breaks: int) -> dict[str, object]:
    """One download with so many breaks, in a folder of its own."""
    source, target = folder / "source", folder / "target"
    write_random(source, length)
    sha256 = sha256_file(source)
    api = ApiProcess(folder / "home")
    path = f"/v1/jobs/{publish(api.settings, source)}/artifacts" + (".zip" if what == "zip" else f"/{NAME}")
    share = length // (breaks + 1)
    cut = how == "cut"
    with (
        Watch(api, lambda: _size(target), [] if cut else [share * (number + 1) for number in range(breaks)]) as watch,
        BrokenLine("127.0.0.1", api.port, [share] * breaks if cut else []) as line,
    ):
        began = time.monotonic()
        url = f"http://127.0.0.1:{line.port if cut else api.port}{path}"
        broke_at = download(url, target, *([] if cut else ["--limit-rate", SLOWLY]))
        seconds = time.monotonic() - began
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "what": what,
        "how": how,
        "bytes": target.stat().st_size,
        "broke_at": broke_at,
        "hash_equal": sha256_file(unzipped(target) if what == "zip" else target) == sha256,
        "growth_mb": [round(growth / MEGABYTE, 1) for growth in watch.growth],
        "seconds": round(seconds, 1),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--breaks", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the file and the service's home lie meanwhile")
    parser.add_argument("--results", type=Path, default=RESULTS / "downloads.jsonl")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
