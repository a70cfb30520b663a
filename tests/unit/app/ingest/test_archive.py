"""Each hostile archive is built for real: by the standard library, or byte by byte where it would refuse."""

import io
import random
import struct
import subprocess
import sys
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import zstandard

from app.domain.errors import DatasetRejected
from app.ingest.archive import open_archive
from app.ingest.limits import Limits

MakeZip = Callable[[Mapping[str, bytes]], Path]
LIMITS = Limits()
MODES = {"tar": "w", "tar.gz": "w:gz", "tar.bz2": "w:bz2", "tar.zst": "w"}


def contents(path: Path, limits: Limits = LIMITS) -> dict[str, bytes]:
    return {entry.path: data for entry, data in open_archive(path, limits).walk(lambda entry: True)}


def refused(path: Path, limits: Limits = LIMITS) -> str:
    """The reason for which an archive is refused, when opened or walked."""
    with pytest.raises(DatasetRejected) as caught:
        contents(path, limits)
    assert str(path.parent) not in caught.value.detail
    return caught.value.detail


def make_tar(
    path: Path, *members: tarfile.TarInfo | tuple[str, bytes], kind: str = "tar", form: int | None = None
) -> Path:
    with tarfile.open(path, MODES[kind], format=form or tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
        for member in members:
            if isinstance(member, tuple):
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
            else:
                archive.addfile(member)
    if kind == "tar.zst":
        path.write_bytes(zstandard.compress(path.read_bytes()))
    return path


def link(kind: bytes, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo("cat/link.png")
    info.type, info.linkname = kind, target
    return info


def patched(path: Path, *changes: tuple[bytes, int, bytes]) -> Path:
    """Overwrite bytes at an offset from each occurrence of a signature."""
    data = bytearray(path.read_bytes())
    for signature, offset, new in changes:
        at = data.find(signature)
        assert at >= 0
        while at >= 0:
            data[at + offset : at + offset + len(new)] = new
            at = data.find(signature, at + 4)
    path.write_bytes(data)
    return path


LOCAL, CENTRAL = b"PK\x03\x04", b"PK\x01\x02"


class TestReads:
    FILES = {"cat/1.png": b"one", "cat/big.bin": random.Random(0).randbytes(200_000), "dog/2.png": b""}

    def test_zip(self, make_zip: MakeZip) -> None:
        assert contents(make_zip(self.FILES)) == self.FILES

    @pytest.mark.parametrize("kind", MODES)
    @pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    def test_tar(self, tmp_path: Path, kind: str, form: int) -> None:
        assert contents(make_tar(tmp_path / "a", *self.FILES.items(), kind=kind, form=form)) == self.FILES

    @pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    def test_tar_with_long_and_foreign_names(self, tmp_path: Path, form: int) -> None:
        files = {f"{'folder' * 30}/{'x' * 120}.png": b"long", "猫/🐈.png": b"cat", "חתול/1.png": b"right to left"}
        assert contents(make_tar(tmp_path / "a", *files.items(), form=form)) == files

    @pytest.mark.parametrize("options", ["cf", "czf"])
    def test_what_the_tar_command_makes_of_a_folder(self, tmp_path: Path, options: str) -> None:
        (tmp_path / "in/cat").mkdir(parents=True)
        (tmp_path / "in/cat/1.png").write_bytes(b"one")
        subprocess.run(["tar", options, tmp_path / "a.tar", "-C", tmp_path / "in", "."], check=True)
        assert contents(tmp_path / "a.tar") == {"cat/1.png": b"one"}

    def test_only_what_is_wanted(self, make_zip: MakeZip, tmp_path: Path) -> None:
        for path in (make_zip(self.FILES), make_tar(tmp_path / "a.tar", *self.FILES.items())):
            archive = open_archive(path, LIMITS)
            assert [entry.path for entry in archive.entries] == list(self.FILES)
            assert [e.path for e, _ in archive.walk(lambda entry: entry.size == 3)] == ["cat/1.png"]

    def test_utf8_names_in_a_zip_that_does_not_say_so(self, make_zip: MakeZip) -> None:
        path = make_zip({"cafe/\u00e9.png": b"x"})
        flags = struct.pack("<H", 0)
        assert list(contents(patched(path, (LOCAL, 6, flags), (CENTRAL, 8, flags)))) == ["cafe/\u00e9.png"]


class TestNotAnArchive:
    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"", "empty"),
            (b"hello", "not an archive"),
            (b"hello" * 1000, "not an archive"),
            (b"\x89PNG\r\n\x1a\n" + bytes(2000), "not an archive"),
            (b"\x28\xb5\x2f\xfd" + bytes(2000), "damaged"),
            (b"Rar!\x1a\x07" + bytes(2000), "rar"),
            (b"\x1f\x8b\x08" + bytes(2000), "damaged"),
            (b"PK\x03\x04" + bytes(2000), "damaged"),
        ],
    )
    def test_says_so(self, tmp_path: Path, data: bytes, words: str) -> None:
        (tmp_path / "a").write_bytes(data)
        assert words in refused(tmp_path / "a")

    def test_a_zstd_that_wants_to_be_remembered_too_far_back(self, tmp_path: Path) -> None:
        window = zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=True)
        tar = make_tar(tmp_path / "a", ("a/1.png", b"x" * 5000))
        file = zstandard.ZstdCompressor(compression_params=window).compressobj()
        tar.write_bytes(file.compress(tar.read_bytes()) + file.flush())
        assert "damaged" in refused(tar)

    def test_a_zstd_in_several_frames(self, tmp_path: Path) -> None:
        tar = make_tar(tmp_path / "a", ("a/1.png", b"x" * 5000))
        data = tar.read_bytes()
        tar.write_bytes(zstandard.compress(data[:3000]) + zstandard.compress(data[3000:]))
        assert contents(tar) == {"a/1.png": b"x" * 5000}

    def test_a_gzip_of_something_else(self, tmp_path: Path) -> None:
        import gzip

        (tmp_path / "a").write_bytes(gzip.compress(b"hello" * 1000))
        assert "not an archive" in refused(tmp_path / "a")

    @pytest.mark.parametrize("kind", ["zip", *MODES])
    @pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
    def test_truncated(self, tmp_path: Path, make_zip: MakeZip, kind: str, kept: float) -> None:
        files = {f"{name}/{i}.png": random.Random(i).randbytes(5000) for i in range(9) for name in ("a", "b")}
        path = make_zip(files) if kind == "zip" else make_tar(tmp_path / "a", *files.items(), kind=kind)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * kept)])
        assert "damaged" in refused(path)

    def test_a_zip_that_lost_bytes_in_front(self, make_zip: MakeZip) -> None:
        path = make_zip({"a/1.png": b"x" * 500, "b/1.png": b"x" * 500})
        data = path.read_bytes()
        path.write_bytes(data[:30] + data[40:])
        assert "damaged" in refused(path)

    def test_a_tar_cut_between_two_members(self, tmp_path: Path) -> None:
        path = make_tar(tmp_path / "a", ("a/1", b"x" * 512), ("b/1", b"x" * 512))
        path.write_bytes(path.read_bytes()[:1024])
        assert "damaged" in refused(path)

    def test_a_flipped_bit_in_a_zip_is_found_by_the_walk(self, make_zip: MakeZip) -> None:
        path = make_zip({"a/1.png": random.Random(0).randbytes(4000)})
        data = bytearray(path.read_bytes())
        data[2000] ^= 1
        path.write_bytes(data)
        assert "'a/1.png' is damaged" in refused(path)


class TestNames:
    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("../evil.png", "points outside"),
            ("cat/../../evil.png", "points outside"),
            ("cat/..", "points outside"),
            ("/etc/passwd", "absolute"),
            ("C:/windows/evil.png", "absolute"),
            ("C:\\windows\\evil.png", "absolute"),
            ("\\\\server\\share\\evil.png", "absolute"),
            ("cat\\..\\evil.png", "points outside"),
            ("cat/a\nb.png", "control characters"),
            ("cat/a\x1b[31m.png", "control characters"),
            ("cat/" + "é" * 128 + ".png", "255 bytes"),
            ("a/" * 2100 + "b.png", "255 bytes"),
        ],
    )
    @pytest.mark.parametrize("kind", ["zip", "tar"])
    def test_unsafe(self, tmp_path: Path, make_zip: MakeZip, kind: str, name: str, words: str) -> None:
        path = make_zip({name: b"x"}) if kind == "zip" else make_tar(tmp_path / "a", (name, b"x"))
        detail = refused(path)
        assert words in detail
        assert detail.isprintable()

    def test_an_unsafe_folder(self, tmp_path: Path) -> None:
        folder = tarfile.TarInfo("../up")
        folder.type = tarfile.DIRTYPE
        assert "points outside" in refused(make_tar(tmp_path / "a", folder))

    def test_a_nul_hidden_in_a_zips_name(self, make_zip: MakeZip) -> None:
        path = make_zip({"cat/1.png_.exe": b"x"})
        assert "'cat/1.png\\x00.exe' has control characters" in refused(patched(path, (b"png_", 3, b"\0")))

    def test_undecodable_bytes_in_a_tars_name(self, tmp_path: Path) -> None:
        path = make_tar(tmp_path / "a", ("caf\udce9/1.png", b"x"), form=tarfile.GNU_FORMAT)
        assert "undecodable" in refused(path)

    @pytest.mark.filterwarnings("ignore:Duplicate name")
    def test_there_twice(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr("cat/1.png", b"one")
            archive.writestr("cat/1.png", b"two")
        tar = make_tar(tmp_path / "a.tar", ("cat/1.png", b"one"), ("./cat//1.png", b"two"))
        for path in (tmp_path / "a.zip", tar):
            assert "is there twice" in refused(path)

    @pytest.mark.parametrize(
        ("one", "other", "becomes"),
        [
            ("cat/1.png", "cat/1.PNG", "cat/1.PNG"),
            ("cat/1.png", "Cat/2.png", "Cat/2.png"),
            ("é/1.png", unicodedata.normalize("NFD", "é") + "/2.png", "é/2.png"),
            ("cat/é.png", "cat/" + unicodedata.normalize("NFD", "é") + ".png", "cat/é (2).png"),
            ("cat/1.png", "cat /1.png", "cat/1 (2).png"),
        ],
    )
    def test_twins_are_two_files(self, make_zip: MakeZip, one: str, other: str, becomes: str) -> None:
        assert contents(make_zip({one: b"x", other: b"y"})) == {one: b"x", becomes: b"y"}

    def test_a_backslash_is_a_separator(self, make_zip: MakeZip) -> None:
        assert contents(make_zip({"fruit\\lemon\\1.png": b"x"})) == {"fruit/lemon/1.png": b"x"}

    def test_a_colon_is_no_drive(self, make_zip: MakeZip) -> None:
        assert contents(make_zip({"A: ok/1.png": b"x"})) == {"A: ok/1.png": b"x"}

    @pytest.mark.filterwarnings("ignore:Duplicate name")
    def test_the_same_file_twice_counts_once(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for _ in range(2):
                archive.writestr("cat/1.png", b"one")
        opened = open_archive(tmp_path / "a.zip", LIMITS)
        assert [entry.path for entry in opened.entries] == ["cat/1.png"]
        assert "is there twice with the same content" in opened.notes[0]

    def test_the_same_class_in_two_splits_does_not_collide(self, make_zip: MakeZip) -> None:
        files = {"train/cat/1.png": b"x", "test/cat/1.png": b"y"}
        assert contents(make_zip(files)) == files


class TestKinds:
    @pytest.mark.parametrize(
        ("kind", "target"),
        [
            (tarfile.SYMTYPE, "/etc/passwd"),
            (tarfile.SYMTYPE, "1.png"),
            (tarfile.LNKTYPE, "cat/1.png"),
            (tarfile.CHRTYPE, ""),
            (tarfile.BLKTYPE, ""),
            (tarfile.FIFOTYPE, ""),
        ],
    )
    def test_links_and_devices_in_a_tar(self, tmp_path: Path, kind: bytes, target: str) -> None:
        path = make_tar(tmp_path / "a", ("cat/1.png", b"x"), link(kind, target))
        assert "'cat/link.png' is a link, a device" in refused(path)

    def test_a_nested_link_escape(self, tmp_path: Path) -> None:
        out = tarfile.TarInfo("cat")
        out.type, out.linkname = tarfile.SYMTYPE, "/tmp"
        assert "'cat' is a link" in refused(make_tar(tmp_path / "a", out, ("cat/evil.png", b"x")))

    def test_a_symlink_in_a_zip(self, tmp_path: Path) -> None:
        info = zipfile.ZipInfo("cat/link.png")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr(info, "/etc/passwd")
        assert "is a link" in refused(tmp_path / "a.zip")

    def test_a_sparse_file(self, tmp_path: Path) -> None:
        info = tarfile.TarInfo("cat/1.png")
        info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(2**40)}
        assert "sparse" in refused(make_tar(tmp_path / "a", info))

    def test_encrypted(self, make_zip: MakeZip) -> None:
        flag = struct.pack("<H", 1)
        path = patched(make_zip({"cat/1.png": b"x"}), (LOCAL, 6, flag), (CENTRAL, 8, flag))
        assert "'cat/1.png' is encrypted" in refused(path)

    @pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, 93, 99])
    def test_an_unsupported_compression(self, make_zip: MakeZip, method: int) -> None:
        number = struct.pack("<H", method)
        path = patched(make_zip({"cat/1.png": b"x"}), (LOCAL, 8, number), (CENTRAL, 10, number))
        assert "unsupported method" in refused(path)


class TestBombs:
    @pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.bz2", "tar.zst"])
    def test_a_ratio_over_the_limit(self, tmp_path: Path, make_zip: MakeZip, kind: str) -> None:
        zeros = {"cat/1.png": bytes(5_000_000)}
        path = make_zip(zeros) if kind == "zip" else make_tar(tmp_path / "a", *zeros.items(), kind=kind)
        assert path.stat().st_size < 20_000
        assert "more than 100 times" in refused(path)

    def test_a_few_flat_drawings_are_no_bomb(self, make_zip: MakeZip) -> None:
        files = {f"a/{i}.bmp": bytes(100_000) for i in range(5)}
        assert contents(make_zip(files)) == files

    @pytest.mark.parametrize("kind", ["zip", "tar"])
    def test_a_total_over_the_limit(self, tmp_path: Path, make_zip: MakeZip, kind: str) -> None:
        files = {f"a/{i}": random.Random(i).randbytes(60_000) for i in range(4)}
        path = make_zip(files) if kind == "zip" else make_tar(tmp_path / "a", *files.items())
        assert contents(path, Limits(max_unpacked_bytes=300_000)) == files
        assert "more than 200000 bytes" in refused(path, Limits(max_unpacked_bytes=200_000))

    @pytest.mark.parametrize("kind", ["zip", "tar"])
    def test_too_many_entries(self, tmp_path: Path, make_zip: MakeZip, kind: str) -> None:
        files = {f"a/{i}": b"" for i in range(11)}
        path = make_zip(files) if kind == "zip" else make_tar(tmp_path / "a", *files.items())
        assert len(contents(path, Limits(max_members=11))) == 11
        assert "more than 10 entries" in refused(path, Limits(max_members=10))

    def test_a_table_of_contents_beyond_the_limit_is_not_even_read(self, make_zip: MakeZip) -> None:
        path = make_zip({f"{'long' * 50}/{i}": b"" for i in range(400)})
        assert "extremely long names" in refused(path, Limits(max_members=100))

    def test_overlapping_entries(self, tmp_path: Path, make_zip: MakeZip) -> None:
        """Two entries of the table of contents that share one entry's bytes."""
        data = make_zip({"a/1.png": random.Random(0).randbytes(3000)}).read_bytes()
        table = data.index(CENTRAL)
        one = data[table : data.index(b"PK\x05\x06")]
        both = one + one.replace(b"a/1.png", b"a/2.png")
        end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 2, 2, len(both), table, 0)
        (tmp_path / "b.zip").write_bytes(data[:table] + both + end)
        assert len(zipfile.ZipFile(tmp_path / "b.zip").infolist()) == 2
        assert "overlaps" in refused(tmp_path / "b.zip")

    def test_nested_headers_as_in_the_better_zip_bomb(self, tmp_path: Path) -> None:
        """One entry whose stored bytes hold the next entry's header and data."""
        inner_path, outer_path = tmp_path / "inner.zip", tmp_path / "outer.zip"
        with zipfile.ZipFile(inner_path, "w") as inner:
            inner.writestr("a/2.png", b"inner")
        inner_bytes = inner_path.read_bytes()
        inner_local = inner_bytes[: inner_bytes.index(CENTRAL)]
        inner_central = inner_bytes[inner_bytes.index(CENTRAL) : inner_bytes.index(b"PK\x05\x06")]
        with zipfile.ZipFile(outer_path, "w") as outer:
            outer.writestr("a/1.png", inner_local)
        data = outer_path.read_bytes()
        table = data.index(CENTRAL)
        at = data.index(inner_local)
        central = (
            data[table : data.index(b"PK\x05\x06")] + inner_central[:42] + struct.pack("<L", at) + inner_central[46:]
        )
        end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 2, 2, len(central), table, 0)
        outer_path.write_bytes(data[:table] + central + end)
        assert "'a/2.png' overlaps" in refused(outer_path)

    @pytest.mark.parametrize("declared", [10, 3999, 4001, 100_000])
    def test_a_size_that_lies(self, make_zip: MakeZip, declared: int) -> None:
        size = struct.pack("<L", declared)
        path = make_zip({"a/1.png": random.Random(0).randbytes(4000)})
        assert "'a/1.png' is" in refused(patched(path, (LOCAL, 22, size), (CENTRAL, 24, size)))

    def test_a_tar_size_that_lies(self, tmp_path: Path) -> None:
        info = tarfile.TarInfo("a/1.png")
        info.size = 2**33
        (tmp_path / "a").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
        assert "damaged" in refused(tmp_path / "a")

    @pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE])
    def test_an_extended_header_without_end(self, tmp_path: Path, kind: bytes) -> None:
        info = tarfile.TarInfo("x")
        info.type, info.size = kind, 2**33
        (tmp_path / "a").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
        assert "extended header" in refused(tmp_path / "a")

    @pytest.mark.parametrize(
        "record", [b"5 a=\n" * 4 + b"9", b"99 path=x\n", b"0 a=b\n", b"-1 a=b\n", b"x", b"19 size=-1000000000\n"]
    )
    def test_a_malformed_extended_header(self, tmp_path: Path, record: bytes) -> None:
        info = tarfile.TarInfo("x")
        info.type, info.size = tarfile.XHDTYPE, len(record)
        padded = record + bytes(-len(record) % 512)
        member = tarfile.TarInfo("a/1.png")
        (tmp_path / "a").write_bytes(info.tobuf() + padded + member.tobuf() + bytes(1024))
        assert "damaged" in refused(tmp_path / "a")

    def test_memory_stays_small_on_a_bomb(self, make_zip: MakeZip) -> None:
        """A 300 MB member in 300 KB is refused without holding it."""
        path = make_zip({})
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a/1.png", "w") as member:
            for _ in range(300):
                member.write(bytes(2**20))
        code = (
            "import sys, resource\n"
            "from pathlib import Path\n"
            "from app.ingest import Limits, import_archive\n"
            "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "result = import_archive(Path(sys.argv[1]), Path(sys.argv[2]), limits=Limits(max_ratio=10_000))\n"
            "grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024\n"
            "sys.exit(0 if result.code and grown < 100 else f'{result} {grown} MB')\n"
        )
        subprocess.run([sys.executable, "-c", code, path, path.parent / "out"], check=True)
