import base64
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.domain.dataset import DatasetIndex, DatasetReport, ImportResult, Preview, Split
from app.imaging import fit_square, open_rgb
from app.ingest import Limits, import_archive, unpack_prepared
from app.reading.layout import index_folder, load_index
from worker.training.data.decoded import decode as decode_squares_of

MakeZip = Callable[[Mapping[str, bytes]], Path]
MakePicture = Callable[..., bytes]


def ready(archive: Path, out: Path, **options: object) -> DatasetReport:
    result = import_archive(archive, out, **options)  # type: ignore[arg-type]
    assert result.report is not None, result
    assert (result.code, result.detail) == (None, None)
    return result.report


def index_of(out: Path) -> DatasetIndex:
    with zipfile.ZipFile(out / "prepared.zip") as archive:
        return DatasetIndex.model_validate_json(archive.read("index.json"))


class TestReady:
    def test_keeps_the_bytes_under_names_of_its_own(
        self, make_zip: MakeZip, classes: dict[str, bytes], tmp_path: Path
    ) -> None:
        report = ready(make_zip(classes), tmp_path / "out")
        with zipfile.ZipFile(tmp_path / "out/prepared.zip") as archive:
            assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
            images = {name: archive.read(name) for name in archive.namelist() if name != "index.json"}
        index = index_of(tmp_path / "out")
        assert set(images) == {f"images/{number:07d}.png" for number in range(1, 21)}
        assert sorted(images.values()) == sorted(classes.values())
        assert {s.path: s.id for s in index.samples} == {n: hashlib.sha256(d).hexdigest() for n, d in images.items()}
        assert {index.classes[s.label] for s in index.samples if s.label is not None} == {"cat", "dog"}
        assert report.images == 20
        assert report.counts[Split.TEST] == {"cat": 2, "dog": 2}
        assert report.digest == index.digest
        assert json.loads((tmp_path / "out/report.json").read_text()) == report.model_dump(mode="json")

    def test_the_same_data_set_from_any_archive_in_any_order(
        self, make_zip: MakeZip, classes: dict[str, bytes], tmp_path: Path
    ) -> None:
        with tarfile.open(tmp_path / "a.tgz", "w:gz") as archive:
            for name, data in reversed(classes.items()):
                info = tarfile.TarInfo(f"./wrapped/{name}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        one = ready(make_zip(classes), tmp_path / "one", seed=3)
        other = ready(tmp_path / "a.tgz", tmp_path / "other", seed=3)
        assert one.model_copy(update={"layout": None}) == other.model_copy(update={"layout": None})
        assert one.split_source == "stratified, seed 3"

    def test_twice_gives_the_same_bytes(self, make_zip: MakeZip, classes: dict[str, bytes], tmp_path: Path) -> None:
        archive = make_zip(classes)
        for out in ("one", "two"):
            ready(archive, tmp_path / out)
        assert (tmp_path / "one/prepared.zip").read_bytes() == (tmp_path / "two/prepared.zip").read_bytes()

    def test_agrees_with_the_same_folder_unpacked(
        self, make_zip: MakeZip, classes: dict[str, bytes], tmp_path: Path
    ) -> None:
        archive = make_zip(classes)
        with zipfile.ZipFile(archive) as plain:
            plain.extractall(tmp_path / "plain")
        assert ready(archive, tmp_path / "out").digest == index_folder(tmp_path / "plain").digest

    def test_reads_labels_csv(self, make_zip: MakeZip, picture: MakePicture, tmp_path: Path) -> None:
        files = {f"w/img/{i}.png": picture(i) for i in range(4)} | {"w/img/bad.png": b"bad"}
        text = "\ufeffpath,label\r\n" + "".join(f"img/{i}.png,{'even' if i % 2 == 0 else 'odd'}\r\n" for i in range(4))
        report = ready(make_zip(files | {"w/labels.csv": (text + "img/bad.png,odd\r\n").encode()}), tmp_path / "out")
        assert report.classes == ("even", "odd")
        assert [s.path for s in report.skipped] == ["w/img/bad.png"]

    def test_reports_progress_up_to_the_end(self, make_zip: MakeZip, classes: dict[str, bytes], tmp_path: Path) -> None:
        seen: list[float] = []
        ready(make_zip(classes | {"a.zip": b"PK"}), tmp_path / "out", on_progress=seen.append)
        assert seen == sorted(seen)
        assert seen[:2] == pytest.approx([0.9 * 2 / 21, 0.9 * 3 / 21])
        assert seen[-1] == 1
        assert len(seen) == 20 + 20


class TestSkips:
    def test_lists_every_file_with_its_reason(
        self, make_zip: MakeZip, picture: MakePicture, classes: dict[str, bytes], tmp_path: Path
    ) -> None:
        jpeg = io.BytesIO()
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(jpeg, "JPEG")
        wide = io.BytesIO()
        Image.new("RGB", (900, 900)).save(wide, "PNG")
        bad = {
            "cat/truncated.jpg": jpeg.getvalue()[:1500],
            "cat/wide.png": wide.getvalue(),
            "cat/drawing.svg.jpg": b"<svg/>",
            "cat/large.bin": bytes(6000),
            "dog/more.zip": make_zip({"cat/1.png": picture(1)}).read_bytes(),
            "README.md": b"# Cats",
            "cover.png": picture(999),
        }
        junk = {"__MACOSX/cat/._0.png": b"x", "cat/.DS_Store": b"x", "dog/Thumbs.db": b"x", ".git/config": b"x"}
        limits = Limits(max_image_pixels=800_000, max_file_bytes=5_000)
        report = ready(make_zip(classes | bad | junk), tmp_path / "out", limits=limits)
        reasons = {s.path: s.reason for s in report.skipped}
        assert set(reasons) == set(bad)
        assert report.skipped_total == len(bad)
        assert "truncated" in reasons["cat/truncated.jpg"]
        assert "800000 pixels" in reasons["cat/wide.png"]
        assert "not an image" in reasons["cat/drawing.svg.jpg"]
        assert "5000 bytes" in reasons["cat/large.bin"]
        assert "archive inside" in reasons["dog/more.zip"]
        assert reasons["cover.png"] == "is in no class folder"
        assert report.images == 20
        assert any(w.startswith("Files left out: 7,") for w in report.warnings)

    def test_stores_an_image_under_its_real_format(
        self, make_zip: MakeZip, picture: MakePicture, classes: dict[str, bytes], tmp_path: Path
    ) -> None:
        ready(make_zip({"cat/really.webp.jpg": picture(77, "WEBP"), **classes}), tmp_path / "out")
        assert "images/0000001.webp" in {s.path for s in index_of(tmp_path / "out").samples}


class TestWritesAnew:
    """Whatever is no plain JPEG, PNG or WebP is stored as an RGB PNG of the same pixels."""

    def test_what_other_decoders_might_read_otherwise(
        self, make_zip: MakeZip, classes: dict[str, bytes], tmp_path: Path
    ) -> None:
        pixels = np.random.default_rng(5).integers(0, 256, (20, 30, 4), dtype=np.uint8)
        turned = Image.Exif()
        turned[0x0112] = 6
        odd = {
            "cat/cmyk.jpg": (Image.fromarray(pixels).convert("CMYK"), "JPEG", {}),
            "cat/alpha.png": (Image.fromarray(pixels), "PNG", {}),
            "cat/palette.gif": (Image.fromarray(pixels[..., :3]).convert("P"), "GIF", {}),
            "cat/sixteen.png": (Image.fromarray(pixels[..., 0].astype(np.uint16) * 257), "PNG", {}),
            "cat/turned.png": (Image.fromarray(pixels[..., :3]), "PNG", {"exif": turned}),
            "cat/flat.bmp": (Image.fromarray(pixels[..., :3]), "BMP", {}),
            "cat/flat.tif": (Image.fromarray(pixels[..., :3]), "TIFF", {}),
        }
        files = {}
        for name, (image, format, options) in odd.items():
            file = io.BytesIO()
            image.save(file, format, **options)
            files[name] = file.getvalue()
        report = ready(make_zip(files | classes), tmp_path / "out")
        assert report.skipped == ()
        unpack_prepared(tmp_path / "out/prepared.zip", tmp_path / "data")
        samples = {s.name: s for s in index_of(tmp_path / "out").samples}
        for name, data in files.items():
            stored = (tmp_path / "data" / samples[name].path).read_bytes()
            with Image.open(io.BytesIO(stored)) as image:
                assert (image.format, image.mode, image.getexif().get(0x0112)) == ("PNG", "RGB", None)
                assert np.array_equal(image, open_rgb(data))
            assert samples[name].id == hashlib.sha256(data).hexdigest()
            assert samples[name].sha256 == samples[name].rewritten == hashlib.sha256(stored).hexdigest()

    def test_a_photograph_turned_by_its_tag_keeps_its_bytes(
        self, make_zip: MakeZip, classes: dict[str, bytes], tmp_path: Path
    ) -> None:
        turned, file = Image.Exif(), io.BytesIO()
        turned[0x0112] = 6
        Image.fromarray(np.random.default_rng(5).integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(
            file, "JPEG", exif=turned
        )
        report = ready(make_zip({"cat/turned.jpg": file.getvalue()} | classes), tmp_path / "out")
        sample = next(s for s in index_of(tmp_path / "out").samples if s.name == "cat/turned.jpg")
        assert sample.rewritten is None
        with zipfile.ZipFile(tmp_path / "out/prepared.zip") as archive:
            assert archive.read(sample.path) == file.getvalue()
        assert report.sizes is not None
        assert (report.sizes.width.most, report.sizes.height.most) == (20, 30)

    def test_training_reads_it(self, make_zip: MakeZip, classes: dict[str, bytes], tmp_path: Path) -> None:
        file = io.BytesIO()
        Image.new("CMYK", (20, 30), (10, 200, 30, 0)).save(file, "JPEG")
        ready(make_zip({"cat/cmyk.jpg": file.getvalue()} | classes), tmp_path / "out")
        unpack_prepared(tmp_path / "out/prepared.zip", tmp_path / "data")
        sample = next(s for s in index_of(tmp_path / "out").samples if s.name == "cat/cmyk.jpg")
        square = decode_squares_of(tmp_path / "data", [sample], 16, "bilinear")[0]
        assert np.array_equal(square, fit_square(open_rgb(file.getvalue()), 16))


class TestPreview:
    def test_has_thumbnails_of_examples_and_copies(
        self, make_zip: MakeZip, picture: MakePicture, classes: dict[str, bytes], tmp_path: Path
    ) -> None:
        ready(
            make_zip(classes | {"dog/copy.png": classes["cat/3.png"], "unlabeled/x.png": picture(500)}),
            tmp_path / "out",
        )
        preview = Preview.model_validate_json((tmp_path / "out/preview.json").read_bytes())
        assert {name: len(paths) for name, paths in preview.examples.items()} == {"cat": 7, "dog": 8, "": 1}
        assert {"dog/copy.png", "cat/3.png", "unlabeled/x.png"} <= preview.pictures.keys()
        for data in preview.pictures.values():
            with Image.open(io.BytesIO(base64.b64decode(data))) as image:
                assert (image.format, image.size) == ("JPEG", (16, 12))


class TestRejected:
    def reject(self, archive: Path, out: Path) -> ImportResult:
        result = import_archive(archive, out)
        assert result.report is None
        assert result.code == "dataset_rejected"
        assert list(out.iterdir()) == []
        return result

    @pytest.mark.parametrize(
        ("files", "words"),
        [
            ({}, "no files"),
            ({"__MACOSX/._a.png": b"x"}, "no files"),
            ({"cat/1.jpg": b"bad", "dog/1.jpg": b"bad"}, "no usable image"),
            ({"../evil.png": b"x"}, "points outside"),
            ({"cat/1.jpg": b"bad", "labels.csv": b"path,label\ncat/1.jpg,\n"}, "no usable image"),
        ],
    )
    def test_leaves_nothing_behind(
        self, make_zip: MakeZip, tmp_path: Path, files: dict[str, bytes], words: str
    ) -> None:
        result = self.reject(make_zip(files), tmp_path / "out")
        assert words in (result.detail or "")
        assert result.hint

    def test_one_class_only(self, make_zip: MakeZip, picture: MakePicture, tmp_path: Path) -> None:
        result = self.reject(make_zip({f"cat/{i}.png": picture(i) for i in range(5)}), tmp_path / "out")
        assert "only one class, 'cat'" in (result.detail or "")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (b"path,label\n1.png,a\n8.png,b\n9.png,a\n", "line 4 '9.png'"),
            (b"author,class\nme,a\n", "first line"),
            (b"path,label\n1.png,a\n2.png,\n", "only one class, 'a'"),
            (b"path,label,split\n1.png,a,train\n2.png,b,tset\n", "line 3 names an unknown split"),
        ],
    )
    def test_labels_that_do_not_fit(
        self, make_zip: MakeZip, picture: MakePicture, tmp_path: Path, text: bytes, words: str
    ) -> None:
        files = {"1.png": picture(1), "2.png": picture(2), "labels.csv": text}
        assert words in (self.reject(make_zip(files), tmp_path / "out").detail or "")

    def test_an_entry_found_damaged_while_reading(
        self, make_zip: MakeZip, classes: dict[str, bytes], tmp_path: Path
    ) -> None:
        archive = make_zip(classes)
        data = bytearray(archive.read_bytes())
        data[200] ^= 1
        archive.write_bytes(data)
        assert "'cat/0.png' is damaged" in (self.reject(archive, tmp_path / "out").detail or "")


class TestUnpack:
    def test_lays_out_what_the_training_room_reads(
        self, make_zip: MakeZip, classes: dict[str, bytes], tmp_path: Path
    ) -> None:
        ready(make_zip(classes), tmp_path / "out")
        unpack_prepared(tmp_path / "out/prepared.zip", tmp_path / "data")
        index = load_index(tmp_path / "data")
        assert index == index_of(tmp_path / "out")
        for sample in index.samples:
            assert hashlib.sha256((tmp_path / "data" / sample.path).read_bytes()).hexdigest() == sample.id

    def test_never_touches_what_is_there(self, make_zip: MakeZip, classes: dict[str, bytes], tmp_path: Path) -> None:
        ready(make_zip(classes), tmp_path / "out")
        (tmp_path / "data").mkdir()
        (tmp_path / "data/mine").write_text("keep")
        with pytest.raises(FileExistsError):
            unpack_prepared(tmp_path / "out/prepared.zip", tmp_path / "data")
        assert [file.name for file in (tmp_path / "data").iterdir()] == ["mine"]

    @pytest.mark.parametrize("damage", ["truncated", "bit", "missing image", "foreign name", "no index"])
    def test_a_damaged_one_leaves_nothing(
        self, make_zip: MakeZip, classes: dict[str, bytes], tmp_path: Path, damage: str
    ) -> None:
        from app.domain.errors import DatasetRejected

        ready(make_zip(classes), tmp_path / "out")
        whole = tmp_path / "out/prepared.zip"
        index = index_of(tmp_path / "out")
        broken = tmp_path / "broken.zip"
        data = bytearray(whole.read_bytes())
        if damage == "truncated":
            broken.write_bytes(data[: len(data) // 2])
        elif damage == "bit":
            data[data.index(b"\x89PNG") + 100] ^= 1
            broken.write_bytes(data)
        else:
            with zipfile.ZipFile(whole) as source, zipfile.ZipFile(broken, "w") as target:
                for name in source.namelist():
                    if damage == "missing image" and name == index.samples[0].path:
                        continue
                    if damage == "no index" and name == "index.json":
                        continue
                    if damage == "foreign name" and name == "index.json":
                        evil = index.samples[0].model_copy(update={"path": "../evil.png"})
                        samples = (evil, *index.samples[1:])
                        target.writestr(name, index.model_copy(update={"samples": samples}).model_dump_json())
                        continue
                    evil_name = damage == "foreign name" and name == index.samples[0].path
                    target.writestr("../evil.png" if evil_name else name, source.read(name))
        before = set(tmp_path.iterdir())
        with pytest.raises(DatasetRejected, match="damaged"):
            unpack_prepared(broken, tmp_path / "data")
        assert set(tmp_path.iterdir()) == before


class TestCommand:
    def run(self, *arguments: object) -> tuple[int, list[dict[str, object]]]:
        command = [sys.executable, "-m", "app.ingest", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.stderr == ""
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]

    def test_prints_progress_and_then_the_result(
        self, make_zip: MakeZip, classes: dict[str, bytes], tmp_path: Path
    ) -> None:
        code, lines = self.run(make_zip(classes), tmp_path / "out", "--seed", 5)
        assert code == 0
        assert {"type": "progress", "progress": 1.0} in lines
        assert lines[-1] == {"type": "result", "code": None, "detail": None, "hint": None}
        report = DatasetReport.model_validate_json((tmp_path / "out/report.json").read_bytes())
        assert report.split_source == "stratified, seed 5"
        assert (tmp_path / "out/prepared.zip").is_file()

    def test_a_rejection_is_a_verdict_and_no_crash(
        self, make_zip: MakeZip, classes: dict[str, bytes], tmp_path: Path
    ) -> None:
        code, lines = self.run(make_zip(classes), tmp_path / "out", "--max-images", 5)
        assert code == 0
        assert lines[-1]["code"] == "dataset_rejected"
        assert lines[-1]["detail"] == "The archive has more than 5 entries."


class TestRealData:
    def test_sign_digits(self, shared_data: Path, tmp_path: Path) -> None:
        report = ready(shared_data / "sign-digits.zip", tmp_path / "out")
        assert report.classes == tuple("0123456789")
        assert (report.images, report.skipped_total) == (2062, 0)
        (warning,) = report.warnings
        assert warning.startswith("Class names are bare numbers (`0`, `1`, `2`, `3` and 6 more)")
        assert {split: sum(found.values()) for split, found in report.counts.items()} == {
            Split.TRAIN: 1442,
            Split.VAL: 209,
            Split.TEST: 411,
        }
