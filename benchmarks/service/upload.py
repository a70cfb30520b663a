"""Upload throughput beside hashing alone: `python -m benchmarks.service.upload`.

In each round the same file is hashed by this process, in pieces as the service does it; then hashed and written to the
disk, which any service has to do; and then sent to an API process in each of three ways: as a form, as the bare body,
and as one piece of a resumable upload. The client costs next to nothing (sendfile). What counts is the ratio of the
rates within a round: other work on the machine slows all of them. An upload is hashed, written, brought to the disk and
answered.
"""

import argparse
import hashlib
import json
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import httpx

from benchmarks import RESULTS
from benchmarks.common.table import markdown
from benchmarks.common.training import machine_name
from benchmarks.service.api_process import ApiProcess
from benchmarks.service.tus import MEGABYTE, write_random

PIECE_BYTES = 2**20
KEEPING = "hashing, writing, fsync"
FORM_HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="archive.zip"\r\n\r\n'
FORM_TAIL = b"\r\n--b--\r\n"

Way = Callable[[ApiProcess, Path], str]
"""Sends the file; gives the SHA-256 that the service says it has."""


def main() -> int:
    options = _options()
    rounds = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        source = Path(folder) / "archive.zip"
        write_random(source, options.megabytes * MEGABYTE)
        api = ApiProcess(Path(folder) / "home")
        api.start()
        try:
            for number in range(options.rounds):
                rounds.append(_round(api, source))
                print(f"round {number}: {rounds[-1]}", flush=True)
        finally:
            api.kill()
    line = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "what": "upload",
        "machine": machine_name(),
        "bytes": options.megabytes * MEGABYTE,
        "rounds": rounds,
    }
    with options.results.open("a") as results:
        results.write(json.dumps(line) + "\n")
    print(table(rounds))
    return 0


def table(rounds: list[dict[str, dict[str, float]]]) -> str:
    """Medians over the rounds."""
    rows = []
    for name in rounds[0]:
        rate, cpu = (statistics.median(found[name][key] for found in rounds) for key in ("mb_per_second", "cpu_share"))
        ratio = statistics.median(found[name]["mb_per_second"] / found["hashing"]["mb_per_second"] for found in rounds)
        rows.append([name, f"{rate:,.0f} MB/s", f"{ratio:.2f}", f"{cpu:.2f}"])
    return markdown(["way", "rate", "of hashing", "CPU time of the process, of hashing's"], rows)


def _round(api: ApiProcess, source: Path) -> dict[str, dict[str, float]]:
    megabytes = source.stat().st_size / MEGABYTE
    began, cpu = time.perf_counter(), time.process_time()
    sha256 = _hash(source)
    hashing, hashing_cpu = time.perf_counter() - began, time.process_time() - cpu
    began, cpu = time.perf_counter(), time.process_time()
    _keep(source)
    keeping, keeping_cpu = time.perf_counter() - began, time.process_time() - cpu
    found = {
        "hashing": {"mb_per_second": megabytes / hashing, "cpu_share": 1.0},
        KEEPING: {"mb_per_second": megabytes / keeping, "cpu_share": keeping_cpu / hashing_cpu},
    }
    for name, way in WAYS.items():
        began, cpu = time.perf_counter(), api.cpu_seconds()
        told = way(api, source)
        seconds, spent = time.perf_counter() - began, api.cpu_seconds() - cpu
        if told != sha256:
            raise RuntimeError(f"{name}: something else has arrived")
        found[name] = {"mb_per_second": megabytes / seconds, "cpu_share": spent / hashing_cpu}
        for dataset in httpx.get(f"{api.url}/v1/datasets").json()["data"]:  # so that nothing is stored already
            httpx.delete(f"{api.url}/v1/datasets/{dataset['id']}", timeout=60).raise_for_status()
    return {name: {key: round(value, 3) for key, value in at.items()} for name, at in found.items()}


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def _keep(path: Path) -> None:
    """As the service does it once the bytes are there."""
    with path.open("rb") as file, path.with_suffix(".copy").open("wb", buffering=0) as copy:
        digest = hashlib.sha256()
        while piece := file.read(PIECE_BYTES):
            copy.write(piece)
            digest.update(piece)
        os.fsync(copy.fileno())
    path.with_suffix(".copy").unlink()


def _send_form(api: ApiProcess, source: Path) -> str:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    return str(_send(api, "POST", "/v1/datasets", headers, source, FORM_HEAD, FORM_TAIL)["sha256"])


def _send_bare(api: ApiProcess, source: Path) -> str:
    return str(_send(api, "POST", "/v1/datasets", {"Content-Type": "application/zip"}, source)["sha256"])


def _send_resumable(api: ApiProcess, source: Path) -> str:
    tus = {"Tus-Resumable": "1.0.0"}
    length = str(source.stat().st_size)
    path = httpx.post(f"{api.url}/v1/uploads", headers=tus | {"Upload-Length": length}).headers["Location"]
    piece = tus | {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    _send(api, "PATCH", path, piece, source)
    made = httpx.post(f"{api.url}/v1/datasets", json={"upload_id": path.rpartition("/")[2]}, timeout=600)
    return str(made.json()["sha256"])


def _send(
    api: ApiProcess,
    method: str,
    path: str,
    headers: Mapping[str, str],
    source: Path,
    before: bytes = b"",
    after: bytes = b"",
) -> dict[str, object]:
    length = len(before) + source.stat().st_size + len(after)
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", f"Content-Length: {length}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with socket.create_connection(("127.0.0.1", api.port)) as connection, source.open("rb") as file:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + before)
        connection.sendfile(file)
        connection.sendall(after)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 20"):
        raise RuntimeError(answer.decode())
    return dict(json.loads(body)) if body else {}


WAYS: Mapping[str, Way] = {"form": _send_form, "bare body": _send_bare, "resumable": _send_resumable}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the file and the service's home lie meanwhile")
    parser.add_argument("--results", type=Path, default=RESULTS / "uploads.jsonl")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
