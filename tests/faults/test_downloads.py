"""Import workers die while they fetch an archive, and what lies at its address changes meanwhile."""

import hashlib
import random
import signal
import sys
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from checker import Stopwatch, check
from PIL import Image
from stack import Process, Stack, wait_for

from app.db.models import Dataset
from app.domain.states import DatasetState
from app.ingest import import_archive
from app.services.leases import MOST_ATTEMPTS
from tests.archives import Archive, in_turn
from tests.image_servers import ImageServer, table_of
from tests.receiving import Receiver, receiving

IMPORTS = (sys.executable, "-m", "app.cli", "worker", "--queue=datasets")
MOMENTS = {
    "after the first piece": "download_piece",
    "in the middle": "download_piece:4",
    "stored but not noted": "download_stored",
    "noted but not imported": "download_noted",
}
PIECES = ("after the first piece", "in the middle")


def archive_of(seed: int) -> bytes:
    """Of noise, so that no two have a part in common; all are of one length."""
    noise, file = random.Random(seed), BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(24):
            picture = BytesIO()
            Image.frombytes("RGB", (96, 96), noise.randbytes(96 * 96 * 3)).save(picture, "BMP")
            archive.writestr(f"{number % 2}/{number}.bmp", picture.getvalue())
    return file.getvalue()


ONE, TWO = archive_of(1), archive_of(2)
assert len(ONE) == len(TWO)


@pytest.fixture
def server(stack: Stack) -> Iterator[Receiver]:
    """A web server that the operator allows."""
    stack.environment["TDMR_OUTBOUND_ALLOW"] = "127.0.0.1"
    with receiving(Archive(ONE)) as receiver:
        yield receiver


def send(stack: Stack, server: Receiver) -> str:
    """Create a data set of what lies at the server; gives its id."""
    url = f"http://127.0.0.1:{server.port}/images.zip?token=s3cret"
    answer = stack.request("POST", "/v1/datasets", json={"source_url": url})
    assert answer.status_code == 202, answer.text
    stack.acknowledged.append(answer.json()["id"])
    return stack.acknowledged[-1]


def row(stack: Stack, dataset_id: str) -> Dataset:
    with stack.store.read() as session:
        return session.get_one(Dataset, dataset_id)


def wait_for_end(stack: Stack, dataset_id: str) -> Dataset:
    wait_for(lambda: row(stack, dataset_id).state != DatasetState.VALIDATING)
    return row(stack, dataset_id)


def killed(stack: Stack, failpoint: str, host: str = "a") -> None:
    """An import worker takes what waits, and dies of it."""
    assert start(stack, host, FAULT_POINT=failpoint).wait() == -signal.SIGKILL


def start(stack: Stack, host: str = "a", **changes: str) -> Process:
    return stack.start_worker(host, IMPORTS, **changes)


def kept(stack: Stack, dataset_id: str) -> int:
    """Bytes that have come so far, on whichever host."""
    found = [home / "scratch" / "downloads" / dataset_id / "archive" for home in stack.homes()]
    (size,) = (path.stat().st_size for path in found if path.is_file())
    return size


def assert_is(stack: Stack, dataset_id: str, content: bytes, tmp_path: Path, attempt: int = 2) -> None:
    """The data set is ready, and is exactly what this archive gives."""
    (tmp_path / "expected.zip").write_bytes(content)
    report = import_archive(tmp_path / "expected.zip", tmp_path / "expected").report
    dataset = row(stack, dataset_id)
    assert report is not None
    assert (dataset.state, dataset.epoch, dataset.error) == (DatasetState.READY, attempt, None)
    assert (dataset.bytes, dataset.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert dataset.digest == report.digest
    shown = stack.request("GET", f"/v1/datasets/{dataset_id}").json()
    assert (shown["images"], shown["classes"], shown["progress"]) == (24, ["0", "1"], 1)
    assert len(stack.request("GET", "/v1/datasets").json()["data"]) == 1


@pytest.mark.parametrize(
    "moment",
    [pytest.param(name, marks=() if name == "in the middle" else pytest.mark.slow_fault) for name in MOMENTS],
)
def test_fault_row18_the_import_worker_dies_in_a_download(
    stack: Stack, server: Receiver, tmp_path: Path, stopwatch: Stopwatch, moment: str
) -> None:
    server.behaviour = archive = Archive(ONE)
    stack.start_api()
    dataset_id = send(stack, server)

    killed(stack, MOMENTS[moment])
    stopwatch.start()
    assert (row(stack, dataset_id).state, row(stack, dataset_id).epoch) == (DatasetState.VALIDATING, 1)
    size = kept(stack, dataset_id)
    assert (0 < size < len(ONE)) == (moment in PIECES)
    start(stack)

    wait_for_end(stack, dataset_id)
    stopwatch.stop()
    assert archive.asked == ([None, f"bytes={size}-"] if moment in PIECES else [None])
    assert_is(stack, dataset_id, ONE, tmp_path)
    check(stack)


@pytest.mark.slow_fault
def test_fault_row18_another_host_goes_on(production: Stack, tmp_path: Path, stopwatch: Stopwatch) -> None:
    """It has nothing of what has come, and what the dead one has kept goes once a worker is there again."""
    stack = production
    stack.environment["TDMR_OUTBOUND_ALLOW"] = "127.0.0.1"
    archive = Archive(ONE)
    with receiving(archive) as server:
        stack.start_api()
        dataset_id = send(stack, server)
        killed(stack, MOMENTS["in the middle"], "a")
        stopwatch.start()

        start(stack, "b")

        wait_for_end(stack, dataset_id)
        stopwatch.stop()
    assert archive.asked == [None, None]
    assert_is(stack, dataset_id, ONE, tmp_path)
    start(stack, "a")
    check(stack)


@pytest.mark.slow_fault
@pytest.mark.parametrize(
    "after",
    [
        pytest.param(Archive(TWO, etag='"two"'), id="the server tells"),
        pytest.param(Archive(TWO, etag='"two"', minds=False), id="the server sends the rest of the other"),
        pytest.param(Archive(TWO, etag='"two"', ranges=False), id="the server sends no parts"),
    ],
)
def test_fault_row18_the_archive_is_changed_meanwhile(
    stack: Stack, server: Receiver, tmp_path: Path, stopwatch: Stopwatch, after: Archive
) -> None:
    stack.start_api()
    dataset_id = send(stack, server)
    killed(stack, MOMENTS["in the middle"])

    stopwatch.start()
    after.asked.clear()
    server.behaviour = after
    start(stack)

    wait_for_end(stack, dataset_id)
    stopwatch.stop()
    assert after.asked[0] is not None
    assert after.asked[1:] == ([None] if not after.minds else [])
    assert_is(stack, dataset_id, TWO, tmp_path)
    check(stack)


@pytest.mark.slow_fault
def test_fault_row18_the_archive_is_changed_again_and_again(
    stack: Stack, server: Receiver, stopwatch: Stopwatch
) -> None:
    stack.start_api()
    dataset_id = send(stack, server)
    killed(stack, MOMENTS["in the middle"])

    stopwatch.start()
    names = ('"two"', '"three"', '"four"')
    server.behaviour = in_turn(*(Archive(TWO, etag=name, minds=False, breaks=[100_000]) for name in names))
    start(stack)

    error = wait_for_end(stack, dataset_id).error
    stopwatch.stop()
    assert error is not None
    assert error["code"] == "source_changed"
    assert stack.request("GET", f"/v1/datasets/{dataset_id}").json()["state"] == "rejected"
    check(stack)


@pytest.mark.slow_fault
def test_fault_row18_a_download_kills_each_of_its_workers(stack: Stack, server: Receiver, stopwatch: Stopwatch) -> None:
    # no holder lives longer than a moment, so the lease may be short
    stack.environment |= {"TDMR_HEARTBEAT_SECONDS": "0.2", "TDMR_FENCE_SECONDS": "1", "TDMR_LEASE_SECONDS": "2"}
    stack.start_api()
    dataset_id = send(stack, server)
    stopwatch.start()

    for _ in range(MOST_ATTEMPTS - 1):
        killed(stack, "download_piece")
    killed(stack, "download_stored")
    last = start(stack)

    dataset = wait_for_end(stack, dataset_id)
    stopwatch.stop()
    assert dataset.error is not None
    assert (dataset.epoch, dataset.error["code"]) == (MOST_ATTEMPTS, "import_failed")
    assert len(server.received) == MOST_ATTEMPTS
    assert last.lives()
    check(stack)


@pytest.mark.slow_fault
@pytest.mark.parametrize("failpoint", ["image_fetched:5", "download_stored", "download_noted"])
def test_fault_row18_the_import_worker_dies_over_images_of_a_table(
    stack: Stack, server: Receiver, stopwatch: Stopwatch, failpoint: str
) -> None:
    stack.environment["TDMR_FETCH_IMAGES"] = "true"
    server.behaviour = images = ImageServer()
    stack.start_api()
    table = table_of(server.port, 24, "?token=s3cret")
    answer = stack.request("POST", "/v1/datasets", files={"file": ("urls.csv", table)})
    assert answer.status_code == 202, answer.text
    dataset_id = str(answer.json()["id"])
    stack.acknowledged.append(dataset_id)

    killed(stack, failpoint)
    stopwatch.start()
    have = {
        int(path.name) for home in stack.homes() for path in (home / "scratch" / "images" / dataset_id).glob("whole/*")
    }
    assert 5 <= len(have) <= 24
    images.asked.clear()
    start(stack)

    dataset = wait_for_end(stack, dataset_id)
    stopwatch.stop()
    assert (dataset.state, dataset.epoch, dataset.error) == (DatasetState.READY, 2, None)
    # nothing twice; one that was whole but not in its place yet need not come again
    assert len(images.asked) == len(set(images.asked)) and not have & set(images.asked)
    shown = stack.request("GET", f"/v1/datasets/{dataset_id}").json()
    assert (shown["images"], shown["classes"]) == (24, ["cat", "dog"])
    check(stack)
