"""What the import itself adds to a reading: archives in archives, tables of images, names, losses, odd bytes."""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.domain.dataset import DatasetReport, ImportOptions, ImportResult
from app.imaging import HEIC, open_rgb
from app.ingest import Limits, import_archive
from app.ingest.foreign import what
from app.reading.encodings import guess

MakeZip = Callable[[Mapping[str, bytes]], Path]
MakePicture = Callable[..., bytes]


def ready(archive: Path, **more: object) -> DatasetReport:
    result = imported(archive, **more)
    assert result.report is not None, result
    return result.report


def imported(archive: Path, **more: object) -> ImportResult:
    return import_archive(archive, archive.parent / "out", processes=1, **more)  # type: ignore[arg-type]


def zipped(files: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def tarred(files: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


class TestNested:
    @pytest.mark.parametrize("pack", [zipped, tarred])
    def test_an_archive_for_each_split(
        self, make_zip: MakeZip, classes: dict[str, bytes], picture: MakePicture, pack: Callable[..., bytes]
    ) -> None:
        suffix = "zip" if pack is zipped else "tar"
        test = {f"{name}/{i}.png": picture(500 + 10 * n + i) for n, name in enumerate(("cat", "dog")) for i in range(3)}
        report = ready(make_zip({f"train.{suffix}": pack(classes), f"test.{suffix}": pack(test)}))
        assert report.classes == ("cat", "dog")
        assert report.totals.get("test") or sum(report.counts["test"].values()) == 6  # type: ignore[index]
        assert report.layout is not None
        assert "splits from `test` and `train`" in report.layout.sentence
        assert any("inside the archive; it was opened" in told for told in report.layout.evidence)

    def test_beside_images_stays_closed(self, make_zip: MakeZip, classes: dict[str, bytes]) -> None:
        report = ready(make_zip(classes | {"backup.zip": zipped(classes)}))
        assert (report.images, report.skipped_total) == (20, 1)
        assert report.skipped[0].reason == "an archive inside the archive is not opened"

    def test_a_second_level_is_not_opened(self, make_zip: MakeZip, classes: dict[str, bytes]) -> None:
        assert imported(make_zip({"a.zip": zipped({"b.zip": zipped(classes)})})).report is None

    @pytest.mark.parametrize(
        ("inner", "words"),
        [
            (lambda files: zipped(files)[:-200], "damaged or incomplete"),
            (lambda files: zipped({"../x.png": b"x"}), "points outside"),
            (lambda files: zipped({f"cat/{i}.png": b"x" for i in range(60)}), "more than"),
        ],
    )
    def test_is_checked_like_the_archive_itself(
        self, make_zip: MakeZip, classes: dict[str, bytes], inner: Callable[..., bytes], words: str
    ) -> None:
        result = imported(make_zip({"train.zip": inner(classes)}), limits=Limits(max_members=50))
        assert (result.detail or "").startswith("train.zip, inside the archive: ")
        assert words in (result.detail or "")

    def test_a_bomb_inside_is_one_all_the_same(self, make_zip: MakeZip) -> None:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("cat/1.png", bytes(20_000_000))
        assert "unpacks to more than" in (imported(make_zip({"train.zip": file.getvalue()})).detail or "")

    def test_leaves_nothing_beside_the_data_set(self, make_zip: MakeZip, classes: dict[str, bytes]) -> None:
        archive = make_zip({"train.zip": zipped(classes)})
        ready(archive)
        left = sorted(path.name for path in (archive.parent / "out").iterdir())
        assert left == ["prepared.zip", "preview.json", "report.json"]


class TestTables:
    """Parquet and arrow, as `datasets` writes them."""

    @pytest.fixture
    def table(self, picture: MakePicture) -> object:
        arrow = pytest.importorskip("pyarrow")
        images = [{"bytes": picture(i), "path": f"{i}.png"} for i in range(20)]
        made = arrow.table({"image": images, "label": [i % 2 for i in range(20)], "name": ["x"] * 20})
        features = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
        return made.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})

    def parquet(self, table: object) -> bytes:
        import pyarrow.parquet

        file = io.BytesIO()
        pyarrow.parquet.write_table(table, file)
        return file.getvalue()

    def arrow(self, table: object) -> bytes:
        import pyarrow

        file = io.BytesIO()
        with pyarrow.ipc.new_stream(file, table.schema) as writer:  # type: ignore[attr-defined]
            writer.write_table(table)
        return file.getvalue()

    @pytest.mark.parametrize("kind", ["parquet", "arrow"])
    def test_of_each_split(self, make_zip: MakeZip, table: object, kind: str) -> None:
        data = getattr(self, kind)(table)
        names = {
            "parquet": ("data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"),
            "arrow": ("train/data-00000-of-00001.arrow", "test/data-00000-of-00001.arrow"),
        }[kind]
        report = ready(make_zip(dict.fromkeys(names, data) | {"dataset_dict.json": b'{"splits": ["train", "test"]}'}))
        assert report.classes == ("cat", "dog")
        assert sum(report.counts["test"].values()) == 20  # type: ignore[index]

    def test_alone(self, tmp_path: Path, table: object) -> None:
        (tmp_path / "upload").write_bytes(self.parquet(table))
        report = ready(tmp_path / "upload")
        assert (report.classes, report.images) == (("cat", "dog"), 20)
        assert report.layout is not None
        assert report.layout.sentence.startswith("2 classes from the column `label` of a parquet table")

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda t: t.drop_columns(["image"]), "No column of a parquet table holds images"),
            (lambda t: t.drop_columns(["label", "name"]), "No column of a parquet table tells a class"),
            (lambda t: t.set_column(1, "label", [[[0, 1]] * 20]), "several labels to one image"),
        ],
    )
    def test_that_lack_something_say_so(
        self, tmp_path: Path, table: object, change: Callable[..., object], words: str
    ) -> None:
        (tmp_path / "upload").write_bytes(self.parquet(change(table)))
        assert words in (imported(tmp_path / "upload").detail or "")

    @pytest.mark.parametrize("at", [0.2, 0.5, 0.9])
    def test_damaged_ones_are_a_verdict(self, tmp_path: Path, table: object, at: float) -> None:
        data = bytearray(self.parquet(table))
        start = int(len(data) * at)
        data[start : start + 200] = bytes(200)
        (tmp_path / "upload").write_bytes(data)
        result = imported(tmp_path / "upload")
        assert result.code == "dataset_rejected" or result.report is not None


class TestNames:
    @pytest.mark.parametrize(
        ("encoding", "names"),
        [
            ("gbk", ("苹果", "柠檬", "猫")),
            ("cp932", ("りんご", "レモン")),
            ("big5", ("蘋果", "檸檬")),
            ("cp949", ("사과", "고양이")),
            ("cp866", ("яблоко", "Груша")),
            ("cp1251", ("яблоко", "груша")),
            ("cp850", ("Äpfel", "crème brûlée", "piña")),
            ("cp1252", ("Äpfel", "crème brûlée")),
        ],
    )
    def test_in_a_code_page_are_guessed(self, encoding: str, names: tuple[str, ...]) -> None:
        found = guess(f"{name}/{i}.jpg".encode(encoding) for name in names for i in range(3))
        assert found is not None
        assert [name.encode(encoding).decode(found.encoding) for name in names] == list(names)

    def test_that_are_plain_need_no_guess(self) -> None:
        assert guess([b"cat/1.jpg"]) is None

    def test_an_encoding_that_does_not_exist(self, make_zip: MakeZip, classes: dict[str, bytes]) -> None:
        result = imported(make_zip(classes), options=ImportOptions(encoding="klingon"))
        assert result.detail == "There is no encoding 'klingon'."


class TestLosses:
    def test_a_class_of_unusable_files_is_the_first_warning(self, make_zip: MakeZip, classes: dict[str, bytes]) -> None:
        page = b"<!DOCTYPE html><html><body>403</body></html>"
        report = ready(make_zip(classes | {f"bird/{i}.jpg": page for i in range(4)} | {"cow/": b""}))
        assert report.warnings[0].startswith(
            "The class 'bird' is lost: none of its 4 files is a usable image. 4 of them:"
        )
        assert "an HTML page" in report.warnings[0]
        assert "Class folders without a file: `cow`" in report.warnings[1]
        assert report.layout is not None
        assert report.layout.sentence.startswith("2 classes (1 more is lost) from the top folders")

    def test_hidden_folders_are_counted(
        self, make_zip: MakeZip, classes: dict[str, bytes], picture: MakePicture
    ) -> None:
        hidden = {f".NET logo/{i}.png": picture(800 + i) for i in range(3)}
        junk = {".git/x.png": picture(900), "__MACOSX/cat/._1.png": b"x", ".ipynb_checkpoints/1.png": picture(901)}
        report = ready(make_zip(classes | hidden | junk))
        assert report.skipped_total == 3
        assert any("hidden folder '.NET logo' was left out with its 3 images" in warning for warning in report.warnings)


class TestBytes:
    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer"),
            (b"\n<!DOCTYPE HTML><html></html>", "HTML page"),
            (b'{"error": "forbidden"}', "JSON document"),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG drawing"),
            (b"PAR1" + bytes(20), "parquet table"),
            (b"\x89HDF\r\n\x1a\n", "HDF5"),
            (b"%PDF-1.7", "PDF"),
            (b"", "empty"),
            (b"\x00\x00\x00\x20ftypisom" + bytes(20), "video"),
            (bytes(128) + b"DICM", "DICOM"),
            (b"plain words", "text"),
        ],
    )
    def test_are_called_by_their_name(self, data: bytes, words: str) -> None:
        assert words in (what(data) or "")

    @pytest.mark.parametrize("format", ["AVIF", *(["HEIF"] if HEIC else [])])
    def test_of_phones_are_read(self, make_zip: MakeZip, classes: dict[str, bytes], format: str) -> None:
        pixels = np.tile(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], (48, 1, 3))
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format, quality=95)
        report = ready(make_zip(classes | {f"cat/photo.{format.lower()}": file.getvalue()}))
        assert (report.images, report.skipped_total) == (21, 0)
        assert np.abs(np.asarray(open_rgb(file.getvalue())).astype(int) - pixels).mean() < 6


class TestSixteenBits:
    def files(self) -> dict[str, bytes]:
        """Of a 12-bit sensor, dark: 200 to 2,200 of 65,535."""
        made = {}
        for number in range(20):
            samples = np.random.default_rng(number).integers(200, 2_200, (24, 24)).astype(np.uint16)
            samples[0, :2] = 200, 2_199
            file = io.BytesIO()
            Image.fromarray(samples).save(file, "PNG")
            made[f"{'cat' if number % 2 else 'dog'}/{number}.png"] = file.getvalue()
        return made

    def test_little_contrast_is_a_warning_with_the_range_and_no_near_duplicates(self, make_zip: MakeZip) -> None:
        report = ready(make_zip(self.files()))
        assert any("use the values 200 to 2,199 of 0 to 65,535" in warning for warning in report.warnings)
        assert report.near_duplicates_total == 0

    def test_stretched_as_asked(self, make_zip: MakeZip) -> None:
        archive = make_zip(self.files())
        report = ready(archive, options=ImportOptions(stretch=True))
        assert any("were spread over black to white, as you asked" in warning for warning in report.warnings)
        with zipfile.ZipFile(archive.parent / "out/prepared.zip") as prepared:
            name = next(name for name in prepared.namelist() if name.endswith(".png"))
            pixels = np.asarray(Image.open(io.BytesIO(prepared.read(name))))
        assert (pixels.min(), pixels.max()) == (0, 255)
