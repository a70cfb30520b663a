"""Files that are no images: a class of them is named, an archive of them says so first."""

import gzip
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from app.domain.dataset import DatasetReport, ImportResult
from app.ingest import import_archive
from app.ingest.foreign import is_camera_raw, kind_of

MakeZip = Callable[[Mapping[str, bytes]], Path]
DICOM = bytes(128) + b"DICM" + bytes(200)
TIFF = b"II*\x00" + bytes(200)
FOREIGN = [
    ("1.pdf", b"%PDF-1.7", "a PDF document: save its pages as PNG"),
    ("1.dcm", DICOM, "a DICOM image"),
    ("1.svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
    ("1.psd", b"8BPS\x00\x01" + bytes(90), "a Photoshop document"),
    ("1.CR2", TIFF, "a camera's raw picture: export it as JPEG"),
    ("1.RAF", b"FUJIFILMCCD-RAW 0201" + bytes(90), "a camera's raw picture"),
    ("1.tga", bytes(90), "a TGA file: save it as PNG"),
    ("1.jxl", b"\xff\x0a" + bytes(90), "a JPEG XL image"),
    ("1.mp4", b"\x00\x00\x00\x18ftypmp42" + bytes(90), "a video"),
    ("1.docx", b"PK\x03\x04" + bytes(90), "a document: save its pictures"),
    ("1.jpg.lnk", b"L\x00\x00\x00\x01\x14\x02\x00" + bytes(60), "a shortcut to a file elsewhere"),
    (".1.jpg.icloud", b"bplist00", "a placeholder for a picture that is still in iCloud"),
    ("all.zip", b"PK\x05\x06" + bytes(18), "an archive inside the archive is not opened"),
    ("all.7z", b"7z\xbc\xaf\x27\x1c" + bytes(90), "an archive inside the archive is not opened"),
]


def imported(archive: Path) -> ImportResult:
    return import_archive(archive, archive.parent / "out", processes=1)


def ready(archive: Path) -> DatasetReport:
    result = imported(archive)
    assert result.report is not None, result
    return result.report


class TestClassOfOtherFiles:
    @pytest.mark.parametrize(("name", "data", "kind"), FOREIGN)
    def test_is_named_first_with_the_reason(
        self, make_zip: MakeZip, classes: dict[str, bytes], name: str, data: bytes, kind: str
    ) -> None:
        warnings = ready(make_zip(classes | {f"owl/{name}": data})).warnings
        assert warnings[0].startswith("The class 'owl' is lost: none of its 1 files is a usable image. 1 of them: ")
        assert kind in warnings[0]

    @pytest.mark.parametrize("where", ["wrapped/{}", "wrapped/train/{}"])
    def test_stands_where_the_class_folders_stand(
        self, make_zip: MakeZip, classes: dict[str, bytes], where: str
    ) -> None:
        files = {where.format(path): data for path, data in classes.items()}
        lost = {where.format(f"owl/{deeper}1.pdf"): b"%PDF-1.7" for deeper in ("", "2023/", "2024/")}
        warnings = ready(make_zip(files | lost)).warnings
        assert warnings[0].startswith("The class 'owl' is lost: none of its 3 files")

    def test_in_one_split_is_named_by_its_folder(self, make_zip: MakeZip, classes: dict[str, bytes]) -> None:
        files = {f"{split}/{path}": data for path, data in classes.items() for split in ("train",)}
        test = {f"test/{path.replace('/', '/t')}": data[:-1] + b"." for path, data in classes.items()}
        owls = {f"train/owl/{i}.png": data for i, data in enumerate(list(classes.values())[:3])}
        warnings = ready(make_zip(files | test | owls | {"test/owl/1.pdf": b"%PDF-1.7"})).warnings
        assert any(told.startswith("The folder 'test/owl' holds no image: 1 of its 1 files:") for told in warnings)

    @pytest.mark.parametrize("folder", ["docs", "unlabeled", "masks", "labels", "images", "test"])
    def test_is_not_seen_in_folders_that_are_nobodys_class(
        self, make_zip: MakeZip, classes: dict[str, bytes], folder: str
    ) -> None:
        report = ready(make_zip(classes | {f"{folder}/1.pdf": b"%PDF-1.7"}))
        assert not any("is lost" in told or "holds no image" in told for told in report.warnings)

    def test_of_text_may_be_notes(self, make_zip: MakeZip, classes: dict[str, bytes]) -> None:
        warnings = ready(make_zip(classes | {"tools/run.R": b"print()\n"})).warnings
        assert not any("is lost" in told for told in warnings)
        assert any("The folder 'tools' holds no image" in told and "If it is a class" in told for told in warnings)

    @pytest.mark.parametrize(
        "files",
        [
            {"results/predictions.csv": b"image,pred\n"},
            {"splits/cat_train.txt": b"cat/0.png\n", "splits/cat_test.txt": b"cat/1.png\n"},
            {"runs/1/train.log": b"epoch 1\n", "runs/1/best.pt": b"PK\x03\x04", "runs/args.yaml": b"lr: 1\n"},
        ],
    )
    def test_is_none_of_lists_and_results(
        self, make_zip: MakeZip, classes: dict[str, bytes], files: dict[str, bytes]
    ) -> None:
        warnings = ready(make_zip(classes | files)).warnings
        assert not any("is lost" in told or "holds no image" in told for told in warnings)
        warnings = ready(
            make_zip(classes | files | {f"{next(iter(files)).partition('/')[0]}/1.pdf": b"%PDF-"})
        ).warnings
        assert any("is lost" in told or "holds no image" in told for told in warnings)

    def test_beside_a_single_class_is_told_in_the_rejection(self, make_zip: MakeZip, classes: dict[str, bytes]) -> None:
        cats = {path: data for path, data in classes.items() if path.startswith("cat/")}
        detail = imported(make_zip(cats | {"owl/1.pdf": b"%PDF-1.7"})).detail or ""
        assert detail.startswith("The data set has only one class, 'cat'")
        assert "The folder 'owl' holds no image: 1 of its 1 files: not an image but a PDF document" in detail


class TestNoImage:
    @pytest.mark.parametrize(("name", "data", "kind"), [one for one in FOREIGN if one[0] != "all.zip"])
    def test_the_kind_comes_first(self, make_zip: MakeZip, name: str, data: bytes, kind: str) -> None:
        files = {f"{folder}/{name}": data for folder in ("a", "b", "c")} | {"train.csv": b"id,label\n1,a\n2,b\n"}
        result = imported(make_zip(files))
        called = "a 7z archive" if name == "all.7z" else kind.partition(":")[0]
        assert result.detail == f"The archive holds no image: 'a/{name}' is {called}, as are 2 more files." or (
            result.detail or ""
        ).startswith(f"The archive holds no image: 'a/{name}' is {called}")
        assert result.hint
        assert "labels.csv" not in result.hint

    @pytest.mark.parametrize(
        ("row", "how"),
        [
            (",".join(["3", *["0"] * 64]), "65 columns of numbers"),
            (f"3,{' '.join(['70'] * 64)},Training", "a column of numbers"),
            (f"{'iVBORw0KGgo' * 40}=,cat", "base64"),
        ],
    )
    @pytest.mark.parametrize("cover", [False, True])
    def test_tables_of_pixels_are_called_so(
        self, make_zip: MakeZip, picture: Callable[[int], bytes], row: str, how: str, *, cover: bool
    ) -> None:
        table = ("a heading\n" + f"{row}\n" * 5).encode()
        result = imported(make_zip({"train.csv": table} | ({"cover.png": picture(1)} if cover else {})))
        assert how in (result.detail or "")
        assert "as a PNG" in (result.hint or "")

    @pytest.mark.parametrize("row", [f"x1,{',0,1' * 40}", f"a.jpg,{',7' * 80}", f"x1,{',0.5' * 80}"])
    def test_tables_of_flags_or_measures_are_not(self, make_zip: MakeZip, classes: dict[str, bytes], row: str) -> None:
        cats = {path: data for path, data in classes.items() if path.startswith("cat/")}
        assert "only one class" in (imported(make_zip(cats | {"t.csv": f"head\n{row}\n".encode()})).detail or "")

    def test_only_text(self, make_zip: MakeZip) -> None:
        result = imported(make_zip({"cat/urls.txt": b"https://a.org/1.jpg\nhttps://a.org/2.jpg\n"}))
        assert (result.detail or "").startswith("The archive holds no image.")
        assert "`cat/urls.txt`: it lists addresses" in (result.detail or "")


class TestNames:
    @pytest.mark.parametrize("name", ["Icon\r", "cat/Icon\r", "cat/._Icon\r", "__MACOSX/cat/._Icon\r"])
    def test_the_picture_of_a_folder_is_junk(self, make_zip: MakeZip, classes: dict[str, bytes], name: str) -> None:
        report = ready(make_zip(classes | {name: b"x"}))
        assert (report.images, report.skipped_total) == (20, 0)

    @pytest.mark.parametrize("name", ["cat/Icon\r.png", "cat/myIcon\r", "Icon\r/1.png"])
    def test_other_carriage_returns_are_refused(self, make_zip: MakeZip, classes: dict[str, bytes], name: str) -> None:
        assert "control characters" in (imported(make_zip(classes | {name: b"x"})).detail or "")

    def test_what_is_called_raw_and_is_a_jpeg_is_read(self) -> None:
        assert is_camera_raw("1.NEF", b"MM\x00*")
        assert not is_camera_raw("1.dng", b"\xff\xd8\xff")
        assert not is_camera_raw("1.tif", TIFF)
        assert kind_of("1.xyz", bytes(90)) is None


class TestPackedText:
    def test_of_a_table_is_read(self, make_zip: MakeZip, classes: dict[str, bytes]) -> None:
        files = {f"img/{path.replace('/', '_')}": data for path, data in classes.items()}
        table = "path,label\n" + "".join(f"{path},{path[4:7]}\n" for path in files)
        report = ready(make_zip(files | {"labels.csv.gz": gzip.compress(table.encode())}))
        assert report.classes == ("cat", "dog")
        assert report.layout is not None
        assert "`labels.csv`" in report.layout.sentence

    @pytest.mark.parametrize("data", [b"x", gzip.compress(b"path,label\n" * 99, mtime=0)[:-9]], ids=["no gzip", "cut"])
    def test_that_is_damaged_is_left_out(self, make_zip: MakeZip, classes: dict[str, bytes], data: bytes) -> None:
        report = ready(make_zip(classes | {"labels.csv.gz": data}))
        assert "a gzip file that is damaged" in report.skipped[0].reason

    def test_is_bounded(self, make_zip: MakeZip, classes: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("app.ingest.listed.MAX_TEXTS_BYTES", 1_000)
        report = ready(make_zip(classes | {"labels.csv.gz": gzip.compress(bytes(1_001))}))
        assert "too large" in report.skipped[0].reason
