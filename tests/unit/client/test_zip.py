"""A folder as a zip that is never written: what is in it, and that any part of it can be made alone."""

import io
import os
import unicodedata
import zipfile
from pathlib import Path

import pytest

from app.ingest import import_archive
from tdmr import _zip
from tdmr._zip import FolderZip
from tdmr.errors import UploadFailed
from tests.unit.client.folders import write_images


def whole(folder: FolderZip) -> bytes:
    return b"".join(folder.read())


class TestContents:
    def test_are_the_files_with_their_folders_as_other_programs_read_them(self, tmp_path: Path) -> None:
        write_images(tmp_path, ("train/cat", "train/dog", "test/cat"))
        (tmp_path / "labels.csv").write_text("path,label\n")

        content = whole(folder := FolderZip(tmp_path))

        assert len(content) == folder.size
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            assert archive.testzip() is None
            assert archive.namelist() == sorted(
                str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()
            )
            assert all(archive.read(name) == (tmp_path / name).read_bytes() for name in archive.namelist())

    def test_leave_out_what_systems_leave_behind(self, tmp_path: Path) -> None:
        write_images(tmp_path, ("cat",), count=1)
        for junk in (".DS_Store", "cat/Thumbs.db", "cat/._0.png", "__MACOSX/cat/0.png", ".git/config", "desktop.ini"):
            (tmp_path / junk).parent.mkdir(exist_ok=True, parents=True)
            (tmp_path / junk).write_bytes(b"junk")

        assert [entry.name for entry in FolderZip(tmp_path).entries] == [b"cat/0.png"]

    def test_have_names_in_nfc(self, tmp_path: Path) -> None:
        write_images(tmp_path, (unicodedata.normalize("NFD", "Käse"),), count=1)

        assert FolderZip(tmp_path).entries[0].name == unicodedata.normalize("NFC", "Käse/0.png").encode()

    def test_follow_links_but_not_in_circles(self, tmp_path: Path) -> None:
        write_images(tmp_path / "elsewhere", ("cat",), count=1)
        photos = tmp_path / "photos"
        photos.mkdir()
        (photos / "cat").symlink_to(tmp_path / "elsewhere" / "cat")
        (tmp_path / "elsewhere" / "cat" / "again").symlink_to(photos)

        assert [entry.name for entry in FolderZip(photos).entries] == [b"cat/0.png"]

    def test_are_imported_by_the_service(self, tmp_path: Path) -> None:
        write_images(tmp_path / "in", ("train/cat", "train/dog", "val/cat", "val/dog", "test/cat", "test/dog"), count=4)
        archive = tmp_path / "folder.zip"
        archive.write_bytes(whole(FolderZip(tmp_path / "in")))

        report = import_archive(archive, tmp_path / "out").report

        assert report is not None
        assert {split: sum(classes.values()) for split, classes in report.counts.items()} == {
            "train": 8,
            "val": 8,
            "test": 8,
        }
        assert (report.images, report.skipped) == (24, ())


class TestParts:
    def test_from_any_byte_on_are_those_of_the_whole_in_any_process(self, tmp_path: Path) -> None:
        write_images(tmp_path, ("a", "b"), count=3)
        content = whole(FolderZip(tmp_path))
        for offset in range(len(content) + 1):
            # each by an object of its own, which has computed nothing yet
            assert b"".join(FolderZip(tmp_path).read(offset)) == content[offset:]

    def test_of_a_large_file_are_read_in_blocks(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "large").write_bytes(os.urandom(3 * 2**20 + 5))
        at_once = whole(FolderZip(tmp_path))
        monkeypatch.setattr(_zip, "_AT_ONCE", 1000)

        assert whole(FolderZip(tmp_path)) == at_once
        assert b"".join(FolderZip(tmp_path).read(2**21)) == at_once[2**21 :]

    def test_of_more_than_four_gibibytes_or_65535_files_need_zip64(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_images(tmp_path, ("a", "b"), count=3)
        for limit, value in (("_FOUR_GIB", 100), ("_MANY", 3)):
            with monkeypatch.context() as patched:
                patched.setattr(_zip, limit, value)
                folder = FolderZip(tmp_path)
                if limit == "_MANY":
                    with zipfile.ZipFile(io.BytesIO(whole(folder))) as archive:
                        assert archive.testzip() is None
                        assert len(archive.namelist()) == 6
                assert folder.size == len(whole(folder))
                assert b"PK\6\6" in whole(folder)

    def test_are_the_same_for_another_order_of_creation_and_other_times(self, tmp_path: Path) -> None:
        for folder, order in (("one", "ab"), ("two", "ba")):
            for name in order:
                (tmp_path / folder / name).mkdir(parents=True)
                (tmp_path / folder / name / "x").write_text(name)
                os.utime(tmp_path / folder / name / "x", (0, len(order) + ord(name)))

        assert whole(FolderZip(tmp_path / "one")) == whole(FolderZip(tmp_path / "two"))


class TestRefusals:
    def test_an_empty_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UploadFailed, match="no file"):
            FolderZip(tmp_path)

    def test_a_file_that_changes_meanwhile(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"12345")
        folder = FolderZip(tmp_path)
        (tmp_path / "a").write_bytes(b"1234567")
        with pytest.raises(UploadFailed, match="was changed"):
            whole(folder)
        (tmp_path / "a").unlink()
        with pytest.raises(UploadFailed, match="cannot be read"):
            whole(folder)

    @pytest.mark.parametrize("names", [("Cat", "cat"), ("Käse", unicodedata.normalize("NFD", "Käse"))])
    def test_names_that_the_service_would_refuse_after_the_upload(self, tmp_path: Path, names: tuple[str, str]) -> None:
        write_images(tmp_path, names, count=1)
        with pytest.raises(UploadFailed, match="differ only in"):
            FolderZip(tmp_path)

    def test_a_changed_folder_is_another_upload(self, tmp_path: Path) -> None:
        write_images(tmp_path, ("a",))
        before = FolderZip(tmp_path).fingerprint
        assert FolderZip(tmp_path).fingerprint == before
        os.utime(tmp_path / "a" / "0.png", (1, 1))
        assert FolderZip(tmp_path).fingerprint != before
