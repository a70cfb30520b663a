"""Published files whose bytes have changed in the storage, or that are gone from it, over a real connection."""

import hashlib
import io
import logging
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from app.db.engine import Store
from app.db.ids import new_id
from app.db.models import Artifact, Job
from app.domain.spec import JobSpec
from app.domain.states import JobState
from app.settings import Settings
from app.storage.blobs import Blobs
from app.storage.keys import artifact_key
from tests.support import served

CONTENT = bytes(range(256)) * 5000  # five pieces
FILES = {"manifest.json": b'{"a": 1}', "student.onnx": CONTENT, "verdict.txt": b"good"}
BROKEN = "peer closed connection|Server disconnected"


@dataclass(frozen=True)
class Published:
    """A succeeded job with three files, and where they lie."""

    http: httpx.Client
    url: str
    folder: Path

    def alter(self, name: str, at: int) -> None:
        """One bit; size and time stay, as where a disk forgets."""
        path = self.folder / name
        content = bytearray(path.read_bytes())
        content[at] ^= 1
        path.write_bytes(content)

    def received(self, path: str, **headers: str) -> bytes:
        """What a client has until the connection breaks; it must."""
        got = b""
        with (
            pytest.raises(httpx.RemoteProtocolError, match=BROKEN),
            self.http.stream("GET", f"{self.url}/{path}", headers=headers) as answer,
        ):
            assert answer.is_success
            for piece in answer.iter_raw():
                got += piece
        return got


@pytest.fixture
def published(settings: Settings) -> Iterator[Published]:
    with served(settings) as (host, port):
        job_id, dataset_id = new_id("job"), new_id("ds")
        spec = JobSpec(dataset_id=dataset_id, student="resnet18", method="scratch").model_dump(mode="json")
        store, blobs = Store(settings.database), Blobs(settings.storage)
        with store.write() as session:
            session.add(Job(id=job_id, dataset_id=dataset_id, spec=spec, state=JobState.SUCCEEDED))
            session.flush()
            for name, content in FILES.items():
                source, key = settings.root / "source", artifact_key(job_id, 1, name)
                source.write_bytes(content)
                blobs.put_file(key, source)
                source.unlink()
                sha256 = hashlib.sha256(content).hexdigest()
                row = Artifact(job_id=job_id, name=name, bytes=len(content), sha256=sha256)
                row.media_type, row.storage_key = "application/octet-stream", key
                session.add(row)
        store.close()
        folder = settings.root / "blobs" / artifact_key(job_id, 1, "student.onnx")
        with httpx.Client(base_url=f"http://{host}:{port}", timeout=60) as http:
            yield Published(http, f"/v1/jobs/{job_id}", folder.parent)


class TestAltered:
    @pytest.mark.parametrize("at", [0, 700_000, len(CONTENT) - 1], ids=["first", "middle", "last"])
    def test_is_broken_off_before_its_last_piece(
        self, published: Published, at: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        published.alter("student.onnx", at)
        with caplog.at_level(logging.ERROR):
            got = published.received("artifacts/student.onnx")
        assert 0 < len(got) < len(CONTENT)
        key = str(published.folder / "student.onnx").partition("blobs/")[2]
        assert f"{key} in the storage is not the file that was published" in caplog.text

    def test_gives_nothing_of_a_small_file(self, published: Published) -> None:
        published.alter("manifest.json", 3)
        assert published.received("artifacts/manifest.json") == b""

    def test_is_noticed_by_who_resumes(self, published: Published) -> None:
        """Of what it has already, and of what it still gets."""
        published.alter("student.onnx", 10)
        for start in (1, 600_000, len(CONTENT) - 1):
            got = published.received("artifacts/student.onnx", Range=f"bytes={start}-")
            assert len(got) < len(CONTENT) - start

    def test_is_not_noticed_in_a_part_without_the_end(self, published: Published) -> None:
        """Nothing can be proven of it; the client has the digest of the whole."""
        published.alter("student.onnx", 10)
        answer = published.http.get(f"{published.url}/artifacts/student.onnx", headers={"Range": "bytes=700000-700009"})
        assert (answer.status_code, answer.content) == (206, CONTENT[700_000:700_010])
        assert hashlib.sha256(CONTENT).hexdigest() in answer.headers["ETag"]

    def test_breaks_the_zip_before_its_checksum(self, published: Published) -> None:
        whole = published.http.get(f"{published.url}/artifacts.zip").content
        published.alter("student.onnx", 700_000)
        for headers in ({}, {"Range": "bytes=900000-"}):
            got = published.received("artifacts.zip", **headers)
            assert len(got) < len(whole) - len(b"good") - 22  # neither the file after it nor the end
        with pytest.raises(zipfile.BadZipFile):
            zipfile.ZipFile(io.BytesIO(got))

    def test_of_another_size_is_lost_before_anything_is_sent(self, published: Published) -> None:
        (published.folder / "student.onnx").write_bytes(CONTENT[:-1])
        for path in ("artifacts/student.onnx", "artifacts.zip"):
            answer = published.http.get(f"{published.url}/{path}")
            assert (answer.status_code, answer.json()["code"]) == (410, "file_lost")

    def test_an_unaltered_one_is_whole_and_resumable(self, published: Published) -> None:
        url = f"{published.url}/artifacts/student.onnx"
        assert published.http.get(url).content == CONTENT
        assert published.http.get(url, headers={"Range": "bytes=600000-"}).content == CONTENT[600_000:]
        assert published.http.get(url, headers={"Range": "bytes=-1"}).content == CONTENT[-1:]


class TestMissing:
    @pytest.mark.parametrize("path", ["artifacts/verdict.txt", "artifacts.zip"])
    def test_is_no_storage_that_is_away(self, published: Published, path: str) -> None:
        """For the zip it is the last of three files: it looks before it begins."""
        (published.folder / "verdict.txt").unlink()
        get, head = (published.http.request(method, f"{published.url}/{path}") for method in ("GET", "HEAD"))
        assert (get.status_code, get.json()["code"]) == (410, "file_lost")
        assert "Retry-After" not in get.headers
        assert head.status_code == get.status_code
        assert published.http.get(f"{published.url}/artifacts/student.onnx").content == CONTENT

    def test_a_volume_that_is_not_mounted_is_away(self, published: Published) -> None:
        """Its folder is there, and empty."""
        storage = published.folder.parents[2]
        storage.rename(storage.with_name("elsewhere"))
        for make in (lambda: None, storage.mkdir):
            make()
            for method in ("GET", "HEAD"):
                answer = published.http.request(method, f"{published.url}/artifacts/student.onnx")
                assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")

    def test_a_storage_that_is_away_is_asked_again(self, published: Published) -> None:
        away = published.folder.with_name("away")
        published.folder.rename(away)
        published.folder.write_bytes(b"no folder")  # an error that is none of a missing file
        for path in ("artifacts/student.onnx", "artifacts.zip"):
            for method in ("GET", "HEAD"):
                answer = published.http.request(method, f"{published.url}/{path}")
                assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
