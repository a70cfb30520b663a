"""Rows 33 to 50 of the bad inputs: archives. R is a rejection that names the entry, S a file that is left out."""

import gzip
import os
import random
import struct
import tarfile
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from tests.bad_inputs.importing import LIMITS, Door, good, open_door, patched, picture, special, tarred, zipped

LOCAL, CENTRAL = b"PK\x03\x04", b"PK\x01\x02"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    yield from open_door(tmp_path_factory.mktemp("home"))


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.mark.parametrize(
    "archive", [b"", zipped({}), tarred(), zipped({"cat/": b""})], ids=["file", "zip", "tar", "folder"]
)
def test_bad_input_row33_empty(door: Door, archive: bytes) -> None:
    reason = door.rejected(archive)
    assert "empty" in reason or "holds no files" in reason


@pytest.mark.parametrize(
    "archive",
    [b"hello " * 500, b"\x89PNG\r\n\x1a\n" + bytes(2000), gzip.compress(b"hello" * 500)],
    ids=["text", "PNG", "gzip of text"],
)
def test_bad_input_row34_not_an_archive(door: Door, archive: bytes) -> None:
    assert "not an archive" in door.rejected(archive)


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.zst"])
def test_bad_input_row35_truncated(door: Door, kind: str) -> None:
    files = {f"cat/{i}.png": noise(3000, i) for i in range(9)}
    tar = tarred(*files.items())
    whole = {"zip": zipped(files), "tar": tar, "tar.gz": gzip.compress(tar), "tar.zst": zstandard.compress(tar)}[kind]
    assert "damaged or incomplete" in door.rejected(whole[: len(whole) * 2 // 3])


def test_bad_input_row36_encrypted(door: Door) -> None:
    flag = struct.pack("<H", 1)
    assert "'cat/1.png' is encrypted" in door.rejected(
        patched(zipped({"cat/1.png": b"x"}), (LOCAL, 6, flag), (CENTRAL, 8, flag))
    )


@pytest.mark.parametrize("name", ["../evil.png", "cat/../../evil.png"])
def test_bad_input_row37_parent_folder(door: Door, name: str) -> None:
    for archive in (zipped(good() | {name: b"x"}), tarred(*good().items(), (name, b"x"))):
        assert door.rejected(archive) == f"The entry '{name}' points outside the archive."
    assert not list(door.settings.root.rglob("evil.png"))


@pytest.mark.parametrize(
    ("name", "words"), [("/etc/x.png", "absolute"), ("C:/x.png", "absolute"), ("cat\\..\\..\\x.png", "outside")]
)
def test_bad_input_row38_absolute_drive_or_backslashes_that_lead_outside(door: Door, name: str, words: str) -> None:
    reason = door.rejected(tarred(*good().items(), (name, b"x")))
    assert words in reason
    assert name.encode("unicode_escape").decode().replace("\\\\", "\\") in reason


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_bad_input_row39_link_or_device_in_a_tar(door: Door, kind: bytes) -> None:
    archive = tarred(*good().items(), special("cat/link.png", kind, "cat/0.png"))
    assert "'cat/link.png' is a link, a device or a sparse file" in door.rejected(archive)


def test_bad_input_row39_link_in_a_zip(door: Door) -> None:
    mode = struct.pack("<L", 0o120777 << 16)
    archive = patched(zipped({"cat/link.png": b"/etc/passwd"}), (CENTRAL, 38, mode), (CENTRAL, 5, b"\x03"))
    assert "'cat/link.png' is a link or a device" in door.rejected(archive)


def test_bad_input_row40_a_link_to_go_through(door: Door, tmp_path: Path) -> None:
    archive = tarred(special("cat", tarfile.SYMTYPE, str(tmp_path)), ("cat/evil.png", b"x"))
    assert "'cat' is a link" in door.rejected(archive)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.zst"])
def test_bad_input_row41_unpacks_to_a_hundred_times_its_size(door: Door, kind: str) -> None:
    zeros = {"cat/1.png": bytes(10_000_000)}
    tar = tarred(*zeros.items())
    archive = {"zip": zipped(zeros), "tar.gz": gzip.compress(tar), "tar.zst": zstandard.compress(tar)}[kind]
    assert len(archive) < 20_000
    assert "more than 100 times its own size" in door.rejected(archive)


def test_bad_input_row41_unpacks_to_more_than_the_limit(door: Door) -> None:
    files = {f"cat/{i}.bin": noise(1_000_000, i) + noise(20_000, i) * 350 for i in range(6)}
    archive = zipped(files)
    assert len(archive) < 10_000_000
    assert f"more than {LIMITS['max_unpacked_bytes']} bytes" in door.rejected(archive)


def test_bad_input_row42_overlapping_entries(door: Door) -> None:
    """Many entries of the table of contents over the same bytes: Fifield's better zip bomb in short."""
    one = zipped({"cat/00.png": bytes(200_000)})
    table, end = one.index(CENTRAL), one.index(b"PK\x05\x06")
    entries = [one[table:end].replace(b"00.png", b"%02d.png" % number) for number in range(90)]
    size = sum(map(len, entries))
    archive = one[:table] + b"".join(entries) + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 90, 90, size, table, 0)
    assert len(archive) < 10_000
    assert "overlaps with another one" in door.rejected(archive)


@pytest.mark.parametrize("declared", [10, 3999, 4001, 100_000])
def test_bad_input_row43_a_size_that_lies_in_a_zip(door: Door, declared: int) -> None:
    size = struct.pack("<L", declared)
    archive = patched(zipped({"cat/1.png": noise(4000)}), (LOCAL, 22, size), (CENTRAL, 24, size))
    reason = door.rejected(archive)
    assert "'cat/1.png' is damaged" in reason or "'cat/1.png' is not as large" in reason


def test_bad_input_row43_a_size_that_lies_in_a_tar(door: Door) -> None:
    info = tarfile.TarInfo("cat/1.png")
    info.size = 2**33
    assert "damaged or incomplete" in door.rejected(info.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_bad_input_row44_too_many_entries(door: Door, kind: str) -> None:
    files = {f"cat/{number}": b"" for number in range(LIMITS["max_images"] + 1)}
    archive = zipped(files) if kind == "zip" else tarred(*files.items(), mode="w:gz")
    assert f"more than {LIMITS['max_images']} entries" in door.rejected(archive)


@pytest.mark.parametrize("name", ["cat/more.zip", "cat/more.tar.gz", "cat/more.7z"])
def test_bad_input_row45_nested_archive(door: Door, name: str) -> None:
    assert door.skipped(name, zipped(good())) == "an archive inside the archive is not opened"


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_bad_input_row46_duplicate_names(door: Door) -> None:
    twice = zipped({"cat/0.png": b"one", "cat/1.png": b"two"}).replace(b"cat/1.png", b"cat/0.png")
    for archive in (twice, tarred(*good().items(), ("./cat//0.png", b"x"))):
        assert "is there twice" in door.rejected(archive)


@pytest.mark.parametrize(
    "other",
    ["cat/0.PNG", "cat/" + unicodedata.normalize("NFD", "é.png"), "CAT/2.png"],
    ids=["case", "accents", "folder"],
)
def test_bad_input_row47_names_that_collide_on_some_disk_are_two_files(door: Door, other: str) -> None:
    report = door.ready(zipped(good() | {"cat/é.png": picture(900), other: picture(901)}))
    assert (report["images"], report["skipped_total"]) == (12, 0)


@pytest.mark.parametrize("name", ["cat/a\nb.png", "cat/\x1b[31m.png", "cat/" + "é" * 130 + ".png", "cat/a\x7fb.png"])
def test_bad_input_row48_control_characters_or_too_long(door: Door, name: str) -> None:
    reason = door.rejected(zipped(good() | {name: b"x"}))
    assert "control characters" in reason or "more than 255 bytes" in reason
    assert reason.isprintable()


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, 99])
def test_bad_input_row49_unsupported_compression(door: Door, method: int) -> None:
    number = struct.pack("<H", method)
    archive = patched(zipped({"cat/1.png": b"x"}), (LOCAL, 8, number), (CENTRAL, 10, number))
    assert "'cat/1.png' is compressed by an unsupported method" in door.rejected(archive)


def test_bad_input_row50_junk_is_ignored(door: Door) -> None:
    junk = ["__MACOSX/cat/._0.png", "cat/.DS_Store", "dog/Thumbs.db", "desktop.ini", ".git/config", "cat/.0.png.swp"]
    report = door.ready(zipped(good() | {name: os.urandom(10) for name in junk}))
    assert (report["images"], report["skipped_total"], report["classes"]) == (10, 0, ["cat", "dog"])
