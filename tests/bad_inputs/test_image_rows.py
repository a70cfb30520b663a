"""Rows 51 to 70 of the bad inputs: images and labels. S is a file that is left out, R a rejection."""

import random
import struct
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from tests.bad_inputs.importing import LIMITS, Door, encoded, good, open_door, picture, tarred, zipped

GRADIENT = np.stack(np.broadcast_arrays(np.arange(0, 240, 6)[None, :], np.arange(0, 240, 8)[:, None], 90), -1).astype(
    np.uint8
)
"""[30, 40, 3]"""


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    yield from open_door(tmp_path_factory.mktemp("home"))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def taken(door: Door, name: str, data: bytes) -> np.ndarray:
    """The pixels that training gets of a file which the import accepts."""
    report = door.ready(zipped(good() | {name: data}))
    assert (report["images"], report["skipped_total"]) == (len(good()) + 1, 0)
    return door.pixels(report, name)


def test_bad_input_row51_truncated_jpeg(door: Door) -> None:
    whole = picture(1, "JPEG", side=64)
    assert "truncated" in door.skipped("cat/half.jpg", whole[: len(whole) * 2 // 3])


def test_bad_input_row52_bit_flipped_png(door: Door) -> None:
    data = bytearray(picture(1, side=64))
    data[len(data) // 2] ^= 16
    assert "damaged" in door.skipped("cat/flipped.png", bytes(data))


def test_bad_input_row53_a_small_png_of_gigapixels(door: Door) -> None:
    side = 60_000
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    pixels = zlib.compressobj(9)
    row = bytes(1 + side // 8)
    packed = b"".join(pixels.compress(row * 100) for _ in range(side // 100)) + pixels.flush()
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    assert len(data) < 500_000
    # beside noise, so that the archive as a whole is no bomb
    files = good() | {"cat/giant.png": data, "dog/noise.bin": random.Random(0).randbytes(100_000)}
    reasons = {file["path"]: file["reason"] for file in door.ready(zipped(files))["skipped"]}
    assert "more than the 64000000 pixels allowed" in reasons["cat/giant.png"]


@pytest.mark.parametrize(
    "data",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"MZ" + bytes(99),
    ],
    ids=["SVG", "EPS", "program"],
)
def test_bad_input_row54_something_else_called_jpg(door: Door, data: bytes) -> None:
    assert "not an image" in door.skipped("cat/drawing.jpg", data)


def test_bad_input_row54_an_allowed_format_called_jpg_is_taken(door: Door) -> None:
    pixels = taken(door, "cat/really-gif.jpg", encoded(Image.fromarray(GRADIENT).quantize(64), "GIF"))
    assert np.abs(pixels.astype(int) - GRADIENT).mean() < 12


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_bad_input_row55_animated(door: Door, format: str) -> None:
    frames = [Image.fromarray(GRADIENT), Image.fromarray(GRADIENT[::-1])]
    assert "animated" in door.skipped(
        "cat/moving.png", encoded(frames[0], format, save_all=True, append_images=frames[1:])
    )


def test_bad_input_row56_cmyk_is_converted(door: Door) -> None:
    pixels = taken(door, "cat/print.jpg", encoded(Image.fromarray(GRADIENT).convert("CMYK"), "JPEG", quality=95))
    assert np.abs(pixels.astype(int) - GRADIENT).mean() < 4


def test_bad_input_row57_sixteen_bits_are_rescaled(door: Door) -> None:
    grey = np.linspace(0, 65_535, 30 * 40).reshape(30, 40).astype(np.uint16)
    pixels = taken(door, "cat/deep.png", encoded(Image.fromarray(grey), "PNG"))
    assert np.array_equal(pixels, np.repeat(((grey.astype(int) * 255 + 32_767) // 65_535)[..., None], 3, axis=-1))


@pytest.mark.parametrize(("format", "close"), [("JPEG", 4), ("PNG", 0)])
def test_bad_input_row58_exif_rotation_is_applied(door: Door, format: str, close: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    name = f"cat/turned.{format.lower()}"
    report = door.ready(zipped(good() | {name: encoded(Image.fromarray(GRADIENT), format, exif=exif, quality=95)}))
    assert (report["sizes"]["width"]["most"], report["sizes"]["height"]["most"]) == (30, 40)
    if format == "PNG":  # a JPEG keeps its bytes, tag and all, and is turned wherever it is read
        assert np.array_equal(door.pixels(report, name), np.rot90(GRADIENT, -1))


def test_bad_input_row59_alpha_is_laid_on_white(door: Door) -> None:
    alpha = np.full((30, 40, 1), 255, np.uint8)
    alpha[:, :20] = 0
    pixels = taken(door, "cat/cutout.png", encoded(Image.fromarray(np.concatenate([GRADIENT, alpha], -1)), "PNG"))
    assert (pixels[:, :20] == 255).all()
    assert np.array_equal(pixels[:, 20:], GRADIENT[:, 20:])


@pytest.mark.parametrize(
    ("size", "words"), [((1, 1), "too small"), ((30_000, 1), "too small"), ((3000, 2), "longer than wide")]
)
def test_bad_input_row60_a_pixel_or_a_line(door: Door, size: tuple[int, int], words: str) -> None:
    assert words in door.skipped("cat/line.png", encoded(Image.new("RGB", size), "PNG"))


def test_bad_input_row61_one_class_only(door: Door) -> None:
    reason = door.rejected(zipped({name: data for name, data in good().items() if name.startswith("cat")}))
    assert reason == "The data set has only one class, 'cat'; a classifier needs at least two."


def test_bad_input_row62_a_class_with_one_image_is_kept_and_told(door: Door) -> None:
    report = door.ready(zipped(good() | {"cow/0.png": picture(700)}))
    assert report["counts"]["train"]["cow"] == 1
    assert report["counts"]["test"]["cow"] == 0
    assert any("fewer than 5 training images" in warning and "'cow': 1" in warning for warning in report["warnings"])
    assert any("without test images" in warning and "cow" in warning for warning in report["warnings"])


def test_bad_input_row63_the_same_image_in_train_and_test(door: Door) -> None:
    files = {
        f"{split}/{name}": data for split in ("train", "test") for name, data in good().items() if split == "train"
    }
    files |= {f"test/{c}/{i}.png": picture(500 + 10 * len(c) * i + ord(c[0])) for c in ("cat", "dog") for i in range(3)}
    report = door.ready(zipped(files | {"test/cat/again.png": files["train/cat/2.png"]}))
    assert report["duplicates_total"] == 1
    assert {(copy["path"], copy["split"]) for copy in report["duplicates"][0]} == {
        ("train/cat/2.png", "train"),
        ("test/cat/again.png", "test"),
    }
    assert any("in test and also in another split: 1" in warning for warning in report["warnings"])


def test_bad_input_row64_the_same_image_under_two_labels(door: Door) -> None:
    report = door.ready(zipped(good() | {"dog/wrong.png": good()["cat/3.png"]}))
    assert [{copy["label"] for copy in group} for group in report["duplicates"]] == [{"cat", "dog"}]
    assert any("under two labels: 1" in warning for warning in report["warnings"])


def test_bad_input_row65_no_valid_image(door: Door) -> None:
    reason = door.rejected(zipped({"cat/0.jpg": b"bad", "dog/0.jpg": b"worse", "README.md": b"# Pets"}))
    assert reason.startswith("The archive holds no usable image; the usual reason: not an image")


def test_bad_input_row66_labels_with_a_byte_order_mark(door: Door) -> None:
    files = {f"{i}.png": picture(i) for i in range(4)}
    text = "\ufeffpath,label\r\n" + "".join(f"{i}.png,{'odd' if i % 2 else 'even'}\r\n" for i in range(4))
    report = door.ready(zipped(files | {"labels.csv": text.encode()}))
    assert (report["classes"], report["images"], report["skipped_total"]) == (["even", "odd"], 4, 0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "path,label\n8.png,a\n9.png,b\n",
            "2 of 2 rows of `labels.csv` name a file that is not there: line 2 '8.png' (nearest: '1.png'); "
            "line 3 '9.png' (nearest: '1.png').",
        ),
        (
            "author,class\nme,a\n",
            "The first line of labels.csv is 'author,class', and no column names images that are there.",
        ),
        ("path,label,split\n0.png,a,train\n1.png,b,tset\n", "labels.csv, line 3 names an unknown split 'tset'."),
    ],
)
def test_bad_input_row66_labels_that_do_not_fit(door: Door, text: str, reason: str) -> None:
    assert door.rejected(zipped({"0.png": picture(0), "1.png": picture(1), "labels.csv": text.encode()})) == reason


@pytest.mark.parametrize("by_label", [False, True])
def test_bad_input_row67_more_classes_than_the_service_takes(door: Door, by_label: bool) -> None:
    most = LIMITS["max_classes"]
    folder = "images" if by_label else "{}"
    names = [f"{folder.format(number)}/{number}.png" for number in range(most + 1)]
    files = {name: picture(number) for number, name in enumerate(names)}
    if by_label:
        files["labels.csv"] = "".join(f"{name},{n}\n" for n, name in enumerate(["path", *names])).encode()
        files["labels.csv"] = b"path,label\n" + files["labels.csv"].partition(b"\n")[2]
    assert f"has {most + 1} classes; this service takes {most} at most" in door.rejected(zipped(files))
    (dataset,) = (d for d in door.http.get("/v1/datasets").json()["data"][:1])
    assert "TDMR_MAX_CLASSES" in dataset["error"]["hint"]


def test_bad_input_row67_as_many_classes_as_the_service_takes(door: Door) -> None:
    report = door.ready(zipped({f"{number}/0.png": picture(number) for number in range(LIMITS["max_classes"])}))
    assert report["class_count"] == LIMITS["max_classes"]


@pytest.mark.parametrize(("file", "heading"), [("labels.csv", "path,label\n"), ("metadata.jsonl", "")])
def test_bad_input_row68_more_lines_of_labels_than_images(door: Door, file: str, heading: str) -> None:
    """Blank ones: any other would have to name an image, and soon there are no more."""
    noise = random.Random(0).randbytes(100_000)  # so that the archive as a whole is no bomb
    lines = LIMITS["max_images"] + bool(heading)
    text = heading + "\n" * (LIMITS["max_images"] + 1)
    reason = door.rejected(zipped({"0.png": picture(0), "noise.bin": noise, file: text.encode()}))
    assert reason == f"{file} has more than {lines:,} lines."


def test_bad_input_row69_reasons_that_all_read_otherwise(door: Door) -> None:
    lines = {f"cat/{side}.png": encoded(Image.new("RGB", (side, 2)), "PNG") for side in (200, 300, 400)}
    warnings = door.ready(zipped(good() | lines | {"cat/a.txt": b"a", "cat/b.txt": b"b"}))["warnings"]
    assert any("left out: 5, the usual reason (3 times): more than 50 times longer than wide" in w for w in warnings)


def test_bad_input_row70_paths_that_would_fill_a_report(door: Door) -> None:
    folders = "/".join("x" * 200 for _ in range(15))
    files = {f"cat/{folders}/{number}.txt": b"" for number in range(600)}
    noise = random.Random(0).randbytes(100_000)  # so that the archive as a whole is no bomb
    report = door.ready(tarred(*(good() | files | {"noise.bin": noise}).items(), mode="w:gz"))
    assert report["skipped_total"] == 601
    assert sum(len(file["path"]) for file in report["skipped"]) <= 1_000_000
    page = door.http.get(f"/v1/datasets/{report['id']}/report?format=html")
    assert (page.status_code, len(page.content) < 500_000) == (200, True)
