"""What reads files of strangers: which secrets, sockets and processes it reaches, looked at from within and without."""

import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from app.db.ids import new_id
from app.db.models import Dataset
from app.domain.files import sha256_file
from app.domain.manifest import Preprocessing
from app.domain.spec import TrainingSpec
from app.inference.pictures import Pictures
from app.isolation import confined, environment, possible
from app.settings import Settings
from tests.integration.supervising import Harness
from tests.support import children
from worker.importing import INGEST, Importer
from worker.registration import read_catalog
from worker.supervisor import TRAIN

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="Linux's own means, and its /proc"),
    pytest.mark.timeout(100),
]

MARK = "hunter2-of-the-tests"
SECRETS = (
    *("TDMR_DATABASE_URL", "TDMR_BROKER_URL", "TDMR_STORAGE_URL", "TDMR_API_KEY", "POSTGRES_PASSWORD", "REDISCLI_AUTH"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "PGPASSWORD"),
    *("HF_TOKEN", "OPENAI_API_KEY", "ANYTHING_ELSE", "HTTPS_PROXY"),
)
SPY = """
import json, os, pathlib, socket, sys, tempfile

def fails(attempt):
    try:
        attempt()
    except OSError as error:
        return type(error).__name__
    return None

parent = f"/proc/{os.getppid()}"
found = {
    "environment": dict(os.environ),
    "arguments": pathlib.Path("/proc/self/cmdline").read_text(),
    "files": [os.readlink(f"/proc/self/fd/{fd}") for fd in (0, 1, 2)],
    "descriptors": sorted(map(int, os.listdir("/proc/self/fd")))[:-1],  # but for the listing's own
    "sockets": [
        fails(lambda: socket.socket(family, kind).close())
        for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET)
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW)
    ],
    "loopback": fails(lambda: socket.create_connection(("127.0.0.1", int(sys.argv[2])), 5)),
    "pair": fails(lambda: socket.socketpair()),
    "parent": [fails(lambda: open(f"{parent}/{name}", "rb").read(1)) for name in ("environ", "maps", "mem")],
    "move": fails(lambda: os.replace(tempfile.mkstemp()[1], tempfile.mkdtemp() + "/moved")),
}
pathlib.Path(sys.argv[1]).write_text(json.dumps(found))
"""


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """Of one kind: nothing here depends on it."""
    return f"sqlite:///{tmp_path / 'tdmr.db'}"


@pytest.fixture(autouse=True)
def secrets(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the environment of who starts the children, after `settings` were made without them."""
    for name in SECRETS:
        monkeypatch.setenv(name, MARK)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def listener() -> Iterator[int]:
    """Somebody on this machine who would answer."""
    with subprocess.Popen(
        [sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1"], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline().split("port ")[1].split()[0])
        yield port
        server.kill()


@pytest.fixture
def importer(harness: Harness) -> Importer:
    return Importer(harness.settings, harness.store, harness.blobs, "wk_1", harness.stopping)


def spy(tmp_path: Path, port: int) -> tuple[tuple[str, ...], Path]:
    """A child that looks around, and the file in which it says what it has found."""
    report = tmp_path / "found.json"
    return (sys.executable, "-c", SPY, str(report), str(port)), report


def upload(harness: Harness) -> str:
    dataset_id, source = new_id("ds"), harness.settings.root / "upload"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_bytes(b"no archive")
    harness.blobs.put_file(f"uploads/{dataset_id}", source)
    sha256 = sha256_file(source)
    with harness.store.write() as session:
        session.add(Dataset(id=dataset_id, name="a", bytes=10, sha256=sha256, upload_key=f"uploads/{dataset_id}"))
    return dataset_id


def status(pid: int, field: str) -> set[str]:
    """Of all its threads."""
    lines = [line for path in Path(f"/proc/{pid}/task").glob("*/status") for line in path.read_text().splitlines()]
    return {line.split()[1] for line in lines if line.startswith(f"{field}:")}


def assert_no_secret(pid: int) -> None:
    for name in ("environ", "cmdline"):
        assert MARK.encode() not in Path(f"/proc/{pid}/{name}").read_bytes(), name


class TestChild:
    @pytest.mark.parametrize("kind", ["import", "training"])
    def test_reaches_neither_secrets_nor_a_network_nor_its_parent(
        self, kind: str, harness: Harness, importer: Importer, listener: int, tmp_path: Path
    ) -> None:
        command, report = spy(tmp_path, listener)
        harness.settings = harness.settings.model_copy(update={"hub": False})
        if kind == "import":
            importer.command = command
            importer.run(upload(harness))
        else:
            harness.submit()
            harness.supervisor(command=command).run_next()

        found, able = json.loads(report.read_text()), possible()
        assert MARK not in report.read_text()
        assert found["environment"]["OMP_NUM_THREADS"] == "1"
        assert "TDMR_LOG_CONTEXT" in found["environment"]
        assert found["descriptors"] == [0, 1, 2]
        assert found["files"][0] == "/dev/null" and all("pipe:" in file for file in found["files"][1:])
        assert found["pair"] is None and found["move"] is None  # what libraries do among themselves
        if able["network"]:
            assert set(found["sockets"]) == {"PermissionError"} and found["loopback"] == "PermissionError"
        if able["other processes"]:
            assert found["parent"] == ["PermissionError"] * 3

    def test_of_a_training_keeps_its_network_until_it_has_the_weights(
        self, harness: Harness, listener: int, tmp_path: Path
    ) -> None:
        command, report = spy(tmp_path, listener)
        harness.settings = harness.settings.model_copy(update={"hub": True})
        harness.submit()
        harness.supervisor(command=command).run_next()

        found = json.loads(report.read_text())
        assert found["loopback"] is None
        given = {name for name, value in found["environment"].items() if value == MARK}
        assert given == {"HTTPS_PROXY"}  # to the hub

    def test_is_let_go_where_the_settings_say_so(self, harness: Harness, listener: int, tmp_path: Path) -> None:
        command, report = spy(tmp_path, listener)
        harness.settings = harness.settings.model_copy(update={"hub": False, "confine": False})
        harness.submit()
        harness.supervisor(command=command).run_next()

        found = json.loads(report.read_text())
        assert found["loopback"] is None and found["parent"][0] is None
        assert MARK not in report.read_text()  # no setting gives these away


class TestRealPrograms:
    def test_the_import(self, harness: Harness, importer: Importer) -> None:
        """Held as soon as it is there, and looked at."""
        importer.command = INGEST
        thread = threading.Thread(target=importer.run, args=[upload(harness)])
        thread.start()
        child = None
        while child is None:  # pytest's own time limit ends it
            assert thread.is_alive()
            child = next(iter(children("app.ingest")), None)
        child.suspend()
        try:
            assert_no_secret(child.pid)
        finally:
            child.resume()
            thread.join()

    def test_the_training_gives_its_network_up(self, tmp_path: Path) -> None:
        spec, data = tmp_path / "spec.json", tmp_path / "data"
        spec.write_text(TrainingSpec(student="test_resnet", method="scratch").model_dump_json())
        for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
            (data / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), (len(name), ord(name[0]), ord(name[2]))).save(data / name)
        command = confined([*TRAIN, str(spec), str(data), str(tmp_path / "out")], network=True)
        with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE) as training:
            assert training.stdout is not None
            assert training.stdout.readline()  # it prints nothing before it has turned to the data
            try:
                assert_no_secret(training.pid)
                assert status(training.pid, "Seccomp") == ({"2"} if possible()["network"] else {"0"})
            finally:
                training.kill()

    def test_the_decoders_of_the_api(self) -> None:
        pictures = Pictures(10**8, 1)
        how = Preprocessing(resize_short_side=8, center_crop=8, interpolation="bicubic", mean=(0, 0, 0), std=(1, 1, 1))
        file = io.BytesIO()
        Image.new("RGB", (20, 10), (1, 2, 3)).save(file, "PNG")
        try:
            assert pictures.square(file.getvalue(), how).tolist() == [[[1, 2, 3]] * 8] * 8
            (decoder,) = children("app.inference.decoder")
            assert_no_secret(decoder.pid)
            if possible()["network"]:
                assert status(decoder.pid, "Seccomp") == {"2"}
        finally:
            pictures.close()

    def test_who_prints_the_catalogue(self, harness: Harness) -> None:
        script = (
            "import json, os, sys; "
            f"sys.exit(3) if {MARK!r} in os.environ.values() else "
            "print(json.dumps({'teachers': [], 'students': []}))"
        )
        assert read_catalog(harness.settings, (sys.executable, "-c", script)).teachers == ()
