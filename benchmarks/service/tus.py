"""A stock tus client against an API that is killed on the way: `python -m benchmarks.service.tus`.

tuspy uploads a file of random bytes; when a share of it has arrived, the API gets SIGKILL and is started again, as
often as asked. tuspy then asks for the offset and goes on. Prints whether the hash of the data set is that of the file,
where each life of the API ended, and how much memory each took on beyond what it had when it was ready.
"""

import argparse
import hashlib
import json
import os
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
from tusclient.client import TusClient

from app.domain.files import sha256_file
from app.storage.blobs import Blobs
from app.storage.partial import PartialUploads
from benchmarks import RESULTS
from benchmarks.service.api_process import ApiProcess, Watch

MEGABYTE = 10**6


def main() -> int:
    options = _options()
    length = options.megabytes * MEGABYTE
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        source = Path(folder) / "archive.zip"
        write_random(source, length)
        sha256 = sha256_file(source)
        api = ApiProcess(Path(folder) / "home")
        partials = PartialUploads(api.settings.partial_uploads)
        kill_at = [length * (number + 1) // (options.kills + 1) for number in range(options.kills)]
        with Watch(api, lambda: sum(map(partials.offset, partials.ids())), kill_at) as watch:
            began = time.monotonic()
            uploader = TusClient(f"{api.url}/v1/uploads").uploader(
                str(source),
                chunk_size=options.chunk_megabytes * MEGABYTE,
                retries=100,
                retry_delay=3,
                metadata={"filename": source.name},
                upload_checksum=options.checksum,
            )
            uploader.upload()
            seconds = time.monotonic() - began
            upload_id = uploader.url.rpartition("/")[2]
            made = httpx.post(f"{api.url}/v1/datasets", json={"upload_id": upload_id}, timeout=600).json()
            with Blobs(api.settings.storage).open(f"uploads/{made['id']}") as stored:
                kept = hashlib.file_digest(stored, "sha256").hexdigest()
    line = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "what": "tus",
        "bytes": length,
        "piece_bytes": options.chunk_megabytes * MEGABYTE,
        "checksum": options.checksum,
        "killed_at": watch.killed_at,
        "hash_equal": made["sha256"] == kept == sha256,
        "growth_mb": [round(growth / MEGABYTE, 1) for growth in watch.growth],
        "seconds": round(seconds, 1),
    }
    print(json.dumps(line))
    with options.results.open("a") as results:
        results.write(json.dumps(line) + "\n")
    return 0 if line["hash_equal"] and len(watch.killed_at) == options.kills else 1


def write_random(path: Path, length: int) -> None:
    """In pieces; random, so that nothing on the way can compress it."""
    with path.open("wb") as file:
        for start in range(0, length, MEGABYTE):
            file.write(os.urandom(min(MEGABYTE, length - start)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--chunk-megabytes", type=int, default=200, help="of one request; tuspy holds one in memory")
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--checksum", action="store_true", help="send Upload-Checksum with each request")
    parser.add_argument("--folder", type=Path, help="where the file and the service's home lie meanwhile")
    parser.add_argument("--results", type=Path, default=RESULTS / "uploads.jsonl")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
