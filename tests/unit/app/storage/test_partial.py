"""Uploads on their way in: what counts as arrived, whoever dies or breaks off."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from app.domain.errors import ChecksumMismatch, UploadLocked
from app.storage.partial import PartialUploads

ID = "upl_1"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "uploads"


@pytest.fixture
def partials(folder: Path) -> PartialUploads:
    return PartialUploads(folder)


def add(partials: PartialUploads, content: bytes) -> str:
    """Gives the hash of all that is there then."""
    with partials.hold(ID) as held:
        held.sha256()
        held.write(content)
        return held.sha256()


def killed_in(folder: Path, statements: str) -> None:
    """Another process does that with the upload and dies at once."""
    script = (
        "import os, pathlib, sys\nfrom app.storage.partial import PartialUploads\n"
        f"with PartialUploads(pathlib.Path(sys.argv[1])).hold({ID!r}) as held:\n"
        f"    {statements}; os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(folder)], check=False).returncode == -9


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


class TestAppend:
    def test_goes_on_where_it_ended(self, partials: PartialUploads, folder: Path) -> None:
        assert partials.offset(ID) == 0
        assert add(partials, b"0123") == sha256(b"0123")
        assert add(partials, b"4567") == sha256(b"01234567")
        assert (partials.offset(ID), (folder / ID).read_bytes()) == (8, b"01234567")

    def test_hashes_what_another_process_has_written(self, partials: PartialUploads, folder: Path) -> None:
        add(partials, b"01")
        other = PartialUploads(folder)
        assert add(other, b"23") == sha256(b"0123")
        assert add(partials, b"45") == sha256(b"012345")
        assert add(PartialUploads(folder), b"") == sha256(b"012345")

    def test_keeps_what_came_before_an_error(self, partials: PartialUploads) -> None:
        with pytest.raises(RuntimeError), partials.hold(ID) as held:
            held.write(b"0123")
            raise RuntimeError
        assert partials.offset(ID) == 4
        assert add(partials, b"4") == sha256(b"01234")

    def test_keeps_what_a_killed_process_has_written(self, partials: PartialUploads, folder: Path) -> None:
        killed_in(folder, "held.write(b'0123')")
        assert partials.offset(ID) == 4
        assert add(partials, b"4") == sha256(b"01234")

    def test_has_one_writer(self, partials: PartialUploads, folder: Path) -> None:
        with partials.hold(ID) as held:
            held.write(b"01")
            with pytest.raises(UploadLocked), PartialUploads(folder).hold(ID):
                pass
            held.write(b"2")
        assert add(partials, b"") == sha256(b"012")


class TestChecksum:
    def test_confirms_what_matches(self, partials: PartialUploads, folder: Path) -> None:
        with partials.hold(ID) as held:
            held.expect_checksum("sha1")
            held.write(b"0123")
            assert partials.offset(ID) == 0
            held.confirm(hashlib.sha1(b"0123").digest())
            assert held.sha256() == sha256(b"0123")
        assert partials.offset(ID) == 4
        assert names(folder) == [ID]

    def test_discards_what_does_not(self, partials: PartialUploads, folder: Path) -> None:
        add(partials, b"01")
        with pytest.raises(ChecksumMismatch), partials.hold(ID) as held:
            held.expect_checksum("sha256")
            held.write(b"23")
            held.confirm(hashlib.sha256(b"xx").digest())
        assert (partials.offset(ID), names(folder)) == (2, [ID])
        assert add(partials, b"45") == sha256(b"0145")

    def test_discards_what_was_broken_off(self, partials: PartialUploads) -> None:
        add(partials, b"01")
        with pytest.raises(RuntimeError), partials.hold(ID) as held:
            held.expect_checksum("sha256")
            held.write(b"23")
            raise RuntimeError
        assert partials.offset(ID) == 2
        assert add(partials, b"45") == sha256(b"0145")

    def test_discards_what_a_killed_process_did_not_confirm(self, partials: PartialUploads, folder: Path) -> None:
        add(partials, b"01")
        killed_in(folder, "held.sha256(); held.expect_checksum('sha256'); held.write(b'23')")
        assert partials.offset(ID) == 2
        assert add(partials, b"45") == sha256(b"0145")


class TestRemove:
    def test_leaves_nothing(self, partials: PartialUploads, folder: Path) -> None:
        with partials.hold(ID) as held:
            held.expect_checksum("sha1")
            held.write(b"01")
            held.remove()
        assert names(folder) == []
        assert add(partials, b"2") == sha256(b"2")
