"""Blobs behave alike in a folder and in an object store."""

import io
import os
import uuid
from pathlib import Path

import fsspec
import pytest

from app.storage.blobs import Blobs


@pytest.fixture
def bucket(s3: str) -> str:
    """The URL of an empty bucket."""
    url = f"s3://t{uuid.uuid4().hex}"
    fsspec.filesystem("s3").makedirs(url)
    return url


@pytest.fixture(params=["file", "memory", pytest.param("s3", marks=pytest.mark.slow)])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    if request.param == "file":
        return Blobs((tmp_path / "blobs").as_uri())
    if request.param == "s3":
        return Blobs(f"{request.getfixturevalue('bucket')}/below")
    return Blobs(f"memory://{uuid.uuid4().hex}")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.bin"
    path.write_bytes(b"0123456789")
    return path


class TestBlobs:
    def test_gives_back_what_was_put(self, blobs: Blobs, source: Path, tmp_path: Path) -> None:
        blobs.put_file("jobs/j/e1/a.bin", source)
        blobs.fetch("jobs/j/e1/a.bin", tmp_path / "deep" / "copy.bin")
        assert (tmp_path / "deep" / "copy.bin").read_bytes() == b"0123456789"
        assert blobs.size("jobs/j/e1/a.bin") == 10
        assert blobs.exists("jobs/j/e1/a.bin")

    def test_reads_from_the_middle(self, blobs: Blobs, source: Path) -> None:
        blobs.put_file("a", source)
        with blobs.open("a") as stream:
            stream.seek(4, io.SEEK_SET)
            assert stream.read(3) == b"456"
            assert stream.read() == b"789"

    def test_lists_what_there_is_with_its_age(self, blobs: Blobs, source: Path) -> None:
        assert blobs.names("jobs") == blobs.below("jobs") == []
        before = blobs.now()
        for key in ("jobs/a/e1/x/y.bin", "jobs/a/z.bin", "jobs/ab/z.bin", "jobs/file"):
            blobs.put_file(key, source)
        assert blobs.names("jobs") == ["a", "ab", "file"]
        found = blobs.below("jobs/a")
        assert sorted(blob.key for blob in found) == ["jobs/a/e1/x/y.bin", "jobs/a/z.bin"]
        assert [blob.key for blob in blobs.below("jobs/file")] == ["jobs/file"]
        assert {blob.bytes for blob in found} == {10}
        after = blobs.now()
        for blob in found:  # an object store tells whole seconds
            assert blob.changed is not None and before - 1 <= blob.changed <= after + 1
        assert blobs.below("jobs/b") == []

    def test_tells_when_a_blob_came_and_not_how_old_its_source_was(self, blobs: Blobs, source: Path) -> None:
        os.utime(source, (0, 0))
        blobs.put_file("uploads/a", source)
        (blob,) = blobs.below("uploads")
        assert blob.changed is not None and blob.changed > blobs.now() - 3600

    def test_replaces_a_blob(self, blobs: Blobs, source: Path, tmp_path: Path) -> None:
        blobs.put_file("a", source)
        other = tmp_path / "other.bin"
        other.write_bytes(b"new")
        blobs.put_file("a", other)
        with blobs.open("a") as stream:
            assert stream.read() == b"new"

    def test_says_that_a_blob_is_missing(self, blobs: Blobs, tmp_path: Path) -> None:
        assert not blobs.exists("nothing")
        with pytest.raises(FileNotFoundError):
            blobs.open("nothing")
        with pytest.raises(FileNotFoundError):
            blobs.fetch("nothing", tmp_path / "x")
        with pytest.raises(FileNotFoundError):
            blobs.size("nothing")

    def test_a_prefix_is_no_blob(self, blobs: Blobs, source: Path) -> None:
        blobs.put_file("jobs/1/a", source)
        assert not blobs.exists("jobs/1")

    def test_deletes_one_twice_without_complaint(self, blobs: Blobs, source: Path) -> None:
        blobs.put_file("a", source)
        blobs.delete("a")
        blobs.delete("a")
        assert not blobs.exists("a")

    def test_deletes_a_prefix_and_not_its_namesake(self, blobs: Blobs, source: Path) -> None:
        for key in ("jobs/1/e1/a", "jobs/1/e2/a", "jobs/10/e1/a"):
            blobs.put_file(key, source)
        blobs.delete_prefix("jobs/1")
        blobs.delete_prefix("jobs/1")
        assert [blobs.exists(key) for key in ("jobs/1/e1/a", "jobs/1/e2/a", "jobs/10/e1/a")] == [False, False, True]

    @pytest.mark.parametrize("key", ["", "/etc/passwd", "../a", "a/../../b", "a//b", "a/./b", "a\\b", "a\x00b", "a/"])
    def test_refuses_keys_that_leave_its_folder(self, blobs: Blobs, source: Path, key: str) -> None:
        with pytest.raises(ValueError, match="not a storage key"):
            blobs.put_file(key, source)

    def test_probe_leaves_nothing_readable(self, blobs: Blobs) -> None:
        blobs.probe()


class TestFolder:
    def test_leaves_no_temporary_file_when_a_write_fails(self, tmp_path: Path) -> None:
        blobs = Blobs((tmp_path / "blobs").as_uri())
        with pytest.raises(FileNotFoundError):
            blobs.put_file("a/b", tmp_path / "missing")
        assert [path.name for path in (tmp_path / "blobs").rglob("*")] == ["a"]

    def test_probe_fails_where_nothing_can_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "blobs").write_text("a file where the folder should be")
        with pytest.raises(OSError):
            Blobs((tmp_path / "blobs").as_uri()).probe()


class TestBucket:
    def test_takes_a_blob_of_several_parts(self, bucket: str, tmp_path: Path) -> None:
        source = tmp_path / "large.bin"
        piece = os.urandom(2**20)
        with source.open("wb") as file:
            for number in range(101):  # s3fs sends what is smaller than 100 MiB in one request
                file.write(piece[number:] + piece[:number])
        blobs = Blobs(bucket)

        blobs.put_file("large", source)

        blobs.fetch("large", tmp_path / "copy.bin")
        assert blobs.size("large") == source.stat().st_size
        assert (tmp_path / "copy.bin").read_bytes() == source.read_bytes()

    def test_is_not_made_where_its_name_is_mistyped(self, s3: str, source: Path) -> None:
        url = f"s3://t{uuid.uuid4().hex}"
        with pytest.raises(FileNotFoundError):
            Blobs(url).put_file("a", source)
        assert not fsspec.filesystem("s3").exists(url)

    @pytest.mark.parametrize("use", ["exists", "size", "open", "delete", "delete_prefix"])
    def test_says_so_when_it_is_away(self, use: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """With an error of the operating system's kind, and never that there is no such blob."""
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
        monkeypatch.setattr(type(fsspec.filesystem("s3")), "retries", 1)
        blobs = Blobs("s3://away")
        with pytest.raises(OSError) as raised:
            getattr(blobs, use)("a")
        assert not isinstance(raised.value, FileNotFoundError)
