"""Zips that are made while they are read."""

import hashlib
import io
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.storage.zips import Member, fingerprint, size, write
from tests.lacking import lacking

FILES = {"manifest.json": b"{}", "resnet18/empty": b"", "resnet18/Käfer.onnx": bytes(range(256)) * 300}


def member(name: str, content: bytes) -> Member:
    return Member(name, len(content), hashlib.sha256(content).hexdigest())


MEMBERS = [member(name, content) for name, content in FILES.items()]


def content(of: Member) -> Iterator[bytes]:
    whole = FILES[of.name]
    for start in range(0, len(whole), 10_000):
        yield whole[start : start + 10_000]


def made() -> bytes:
    return b"".join(write(MEMBERS, content))


class TestWrite:
    def test_holds_every_file_as_it_is(self) -> None:
        with zipfile.ZipFile(io.BytesIO(made())) as archive:
            assert archive.testzip() is None
            assert {name: archive.read(name) for name in archive.namelist()} == FILES
            assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}

    def test_is_as_large_as_was_said_and_the_same_each_time(self) -> None:
        assert len(made()) == size(MEMBERS)
        assert made() == made()

    def test_of_nothing_is_a_zip_too(self) -> None:
        assert len(b"".join(write([], content))) == size([]) == 22

    @pytest.mark.parametrize("limit", [100, 70_000])
    def test_takes_the_large_form_where_it_must(self, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """With the format's limit of 2 GiB brought down: below the first offset, and between offset and size."""
        monkeypatch.setattr(zipfile, "ZIP64_LIMIT", limit)
        whole = made()
        assert len(whole) == size(MEMBERS)
        assert b"PK\x06\x06" in whole  # the large end record
        with zipfile.ZipFile(io.BytesIO(whole)) as archive:
            assert {name: archive.read(name) for name in archive.namelist()} == FILES

    def test_counts_past_the_limit_of_entries(self) -> None:
        many = [member(str(number), b"") for number in range(0x10001)]
        assert sum(map(len, write(many, lambda _: iter(())))) == size(many)

    def test_stops_at_a_file_of_another_size(self) -> None:
        with pytest.raises(ValueError, match=r"manifest\.json has another size"):
            list(write(MEMBERS, lambda _: iter([b"x"])))

    def test_gives_away_each_piece_as_it_comes(self) -> None:
        assert max(map(len, write(MEMBERS, content))) < 11_000

    def test_is_understood_by_unzip(self, tmp_path: Path) -> None:
        if shutil.which("unzip") is None:
            lacking("no unzip")
        (tmp_path / "a.zip").write_bytes(made())
        subprocess.run(["unzip", "-q", "a.zip"], cwd=tmp_path, check=True)
        assert {name: (tmp_path / name).read_bytes() for name in FILES} == FILES


class TestFingerprint:
    def test_tells_names_contents_and_sizes_apart(self) -> None:
        one = Member("a", 1, "0" * 64)
        others = [Member("b", 1, "0" * 64), Member("a", 2, "0" * 64), Member("a", 1, "1" * 64)]
        assert len({fingerprint([each]) for each in [one, *others]}) == 4
        assert fingerprint([one]) == fingerprint([Member("a", 1, "0" * 64)])

    def test_is_of_the_python_that_writes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = fingerprint(MEMBERS)
        monkeypatch.setattr(sys, "version_info", (99, 0, 0))
        assert fingerprint(MEMBERS) != before
