"""What was published is given, or not at all; the same in a folder and in an object store."""

import hashlib
import uuid
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

from app.domain.errors import FileLost, StoreUnavailable
from app.storage.blobs import Blobs
from app.storage.published import CHUNK_BYTES, BrokenOff, StorageAway, StoredFile, fetch, read, read_whole, require

CONTENT = bytes(range(250)) * (3 * CHUNK_BYTES // 250)


@pytest.fixture(params=["file", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    """With another file in it."""
    url = (tmp_path / "blobs").as_uri()
    if request.param == "s3":
        request.getfixturevalue("s3")
        url = f"s3://t{uuid.uuid4().hex}"
        fsspec.filesystem("s3").makedirs(url)
    blobs = Blobs(url)
    put(blobs, tmp_path, "other", b"other")
    return blobs


class CutConnection(Exception):
    """As aiohttp's ClientPayloadError, which is no OSError either."""


class Cut(MemoryFile):
    def read(self, size: int = -1) -> bytes:
        if self.tell() >= CHUNK_BYTES:
            raise CutConnection
        return bytes(super().read(size))


class CutBackend(MemoryFileSystem):
    """A storage whose connections break behind the first piece."""

    protocol = "cut"

    def open(self, path: str, mode: str = "rb", **options: object) -> MemoryFile:
        return Cut(self, path, self.cat_file(path)) if mode == "rb" else super().open(path, mode, **options)


def put(blobs: Blobs, folder: Path, key: str, content: bytes) -> StoredFile:
    source = folder / uuid.uuid4().hex
    source.write_bytes(content)
    blobs.put_file(key, source)
    return StoredFile(key, len(content), hashlib.sha256(content).hexdigest())


class TestRead:
    @pytest.mark.parametrize(("start", "length"), [(0, None), (1, None), (CHUNK_BYTES, None), (5, 10), (0, 0)])
    def test_gives_what_was_published(self, blobs: Blobs, tmp_path: Path, start: int, length: int | None) -> None:
        file = put(blobs, tmp_path, "a", CONTENT)
        wanted = file.bytes - start if length is None else length
        assert b"".join(read(blobs, file, start, wanted)) == CONTENT[start : start + wanted]

    def test_of_an_empty_file(self, blobs: Blobs, tmp_path: Path) -> None:
        assert b"".join(read(blobs, put(blobs, tmp_path, "a", b""), 0, 0)) == b""

    @pytest.mark.parametrize("start", [0, 1, len(CONTENT) - 1])
    def test_keeps_the_end_of_an_altered_one_back(self, blobs: Blobs, tmp_path: Path, start: int) -> None:
        file = put(blobs, tmp_path, "a", CONTENT)
        put(blobs, tmp_path, "a", b"x" + CONTENT[1:])
        given = b""
        with pytest.raises(BrokenOff):
            for piece in read(blobs, file, start, file.bytes - start):
                given += piece
        assert len(given) < file.bytes - start

    def test_a_storage_that_goes_away_in_the_middle_is_away(self, tmp_path: Path) -> None:
        fsspec.register_implementation("cut", CutBackend, clobber=True)
        blobs = Blobs("cut://folder")
        file = put(blobs, tmp_path, "a", CONTENT)

        assert b"".join(read(blobs, file, 0, CHUNK_BYTES)) == CONTENT[:CHUNK_BYTES]
        with pytest.raises(StorageAway):
            list(read(blobs, file, 0, file.bytes))
        with pytest.raises(StoreUnavailable):
            read_whole(blobs, file)

    def test_tells_a_lost_file_from_a_storage_that_is_away(self, blobs: Blobs, tmp_path: Path) -> None:
        file = put(blobs, tmp_path, "a", CONTENT)
        put(blobs, tmp_path, "a", CONTENT[:-1])
        for use in (lambda: read(blobs, file, 0, 1), lambda: require(blobs, file), lambda: read_whole(blobs, file)):
            with pytest.raises(FileLost, match="differs"):
                use()
        blobs.delete("a")
        with pytest.raises(FileLost, match="no longer"):
            require(blobs, file)
        blobs.delete("other")
        with pytest.raises(StoreUnavailable):  # nothing is left: it may not be mounted
            require(blobs, file)


class TestFetch:
    def test_takes_what_was_stored_and_nothing_else(self, blobs: Blobs, tmp_path: Path) -> None:
        file, target = put(blobs, tmp_path, "a", CONTENT), tmp_path / "target"
        fetch(blobs, "a", target, what="the archive", hint="Again.", sha256=file.sha256)
        assert target.read_bytes() == CONTENT
        put(blobs, tmp_path, "a", b"x" + CONTENT[1:])
        with pytest.raises(FileLost, match="other bytes than the archive"):
            fetch(blobs, "a", target, what="the archive", hint="Again.", sha256=file.sha256)
        blobs.delete("a")
        with pytest.raises(FileLost, match="no longer has the archive"):
            fetch(blobs, "a", target, what="the archive", hint="Again.")
