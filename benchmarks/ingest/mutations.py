"""Damaged and hostile files out of good ones, from a seed."""

import gzip
import io
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable

import zstandard
from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
NAMES = (
    "../up.png", "/etc/passwd", "C:/x.png", "a\\b.png", "a/../../b.png", "cat/\x00.png", "cat/\u202egnp.png",
    "CAT/0.png", "cat/0.png", "é/1.png", "e\u0301/1.png", "x" * 300, "labels.csv", "w/labels.csv", "metadata.jsonl",
    ".hidden/a.png", "cat/./0.png", "cat//0.png", "", "/", "cat/", "train/test/1.png", "more.zip", "__MACOSX/._0.png",
)  # fmt: skip
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
SIGNATURES = (
    b"PK\x03\x04",
    b"PK\x01\x02",
    b"PK\x05\x06",
    b"PK\x06\x06",
    b"PK\x06\x07",
    b"ustar",
    b"IHDR",
    b"IDAT",
    b"\xff\xc0",
)
LABELS = (
    b"path,label\ncat/0.png,a\ndog/0.png,b\n", b"\xef\xbb\xbfpath,label,split\ncat/0.png,a,train\n",
    b'{"file_name": "cat/0.png", "label": "a"}\n{"file_name": "dog/0.png", "label": 3}\n', b"path,label\n" * 9,
    b'path,label\n"cat/0.png,a\n', b"file_name,label,x\ncat/0.png,a,\n", b"", b"\n\n,\n", b"[" * 5000, b"\xff\xfe\x00",
)  # fmt: skip


def picture(rng: random.Random) -> bytes:
    """A small image of any format and mode."""
    width, height = rng.randint(1, 40), rng.randint(1, 40)
    image = Image.frombytes("RGB", (width, height), rng.randbytes(width * height * 3))
    format = rng.choice(FORMATS)
    modes = {"JPEG": ("RGB", "L", "CMYK"), "PNG": ("RGB", "RGBA", "P", "L", "LA", "1", "I;16"), "GIF": ("P", "L")}
    modes |= {"TIFF": ("RGB", "CMYK", "I;16", "L", "1", "RGBA")}
    mode = rng.choice(modes.get(format, ("RGB",)))
    image = image.convert("L").convert("I;16") if mode == "I;16" else image.convert(mode)
    options: dict[str, object] = {}
    if format in ("JPEG", "PNG", "WEBP") and rng.random() < 0.3:
        exif = Image.Exif()
        exif[0x0112] = rng.randint(0, 9)
        options["exif"] = exif
    if format in ("GIF", "PNG", "WEBP", "TIFF") and rng.random() < 0.2:
        options |= {"save_all": True, "append_images": [image.rotate(90)]}
    if format == "TIFF" and mode not in ("1", "I;16"):
        options["compression"] = rng.choice(["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def archive(rng: random.Random) -> bytes:
    """A small archive: mostly a good data set, with a few odd names, labels and members."""
    members = [(f"{c}/{number}.png", picture(rng)) for c in ("cat", "dog") for number in range(rng.randint(2, 5))]
    if rng.random() < 0.3:
        members = [(name, mutated(rng, data) if rng.random() < 0.5 else data) for name, data in members]
    if rng.random() < 0.3:
        members.append((rng.choice(NAMES), rng.choice((picture(rng), rng.choice(LABELS), b""))))
    if rng.random() < 0.2:
        members.append((rng.choice(("labels.csv", "metadata.jsonl", "metadata.csv")), rng.choice(LABELS)))
    return rng.choice((_zip, _zip, _tar))(rng, members)


def _zip(rng: random.Random, members: list[tuple[str, bytes]]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = rng.choice(
                (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)
            )
            if rng.random() < 0.02:
                info.external_attr = rng.choice((0o120777, 0o060777, 0o040755)) << 16
            target.writestr(info, data * (20_000 if rng.random() < 0.01 else 1))
    return file.getvalue()


def _tar(rng: random.Random, members: list[tuple[str, bytes]]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(
        fileobj=file, mode="w", format=rng.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    ) as target:
        for name, data in members:
            info = tarfile.TarInfo(name or "a")
            info.size = len(data)
            if rng.random() < 0.02:
                info.type = rng.choice(
                    (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE)
                )
                info.linkname = "../../etc/passwd"
            if rng.random() < 0.03:
                info.pax_headers = {"path": rng.choice(NAMES).replace("\x00", ""), "size": str(rng.choice(INTERESTING))}
            try:
                target.addfile(info, io.BytesIO(data))
            except ValueError:  # the name does not fit into this form
                continue
    packed = rng.choice((bytes, gzip.compress, zstandard.compress))(file.getvalue())
    return bytes(packed)


def mutated(rng: random.Random, data: bytes) -> bytes:
    """One to eight changes."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        if changed:
            rng.choice(_CHANGES)(rng, changed)
    return bytes(changed)


def _flip(rng: random.Random, data: bytearray) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _overwrite(rng: random.Random, data: bytearray) -> None:
    at = rng.randrange(len(data))
    data[at : at + rng.choice((1, 2, 4, 16))] = rng.randbytes(rng.choice((1, 2, 4, 16)))


def _number(rng: random.Random, data: bytearray) -> None:
    form = rng.choice(("<H", "<L", ">H", ">L", "<Q", "B"))
    at = rng.randrange(len(data))
    value = struct.pack(form, rng.choice(INTERESTING) % 256 ** struct.calcsize(form))
    data[at : at + len(value)] = value


def _field(rng: random.Random, data: bytearray) -> None:
    """A number close behind a signature: where sizes, offsets, flags and methods are."""
    places = []
    for signature in SIGNATURES:
        at = data.find(signature)
        while at >= 0:
            places.append(at)
            at = data.find(signature, at + 1)
    if places:
        at = rng.choice(places) + rng.randrange(4, 48)
        value = struct.pack("<L", rng.choice(INTERESTING))[: rng.choice((1, 2, 4))]
        data[at : at + len(value)] = value


def _cut(rng: random.Random, data: bytearray) -> None:
    del data[rng.randrange(len(data)) :]


def _remove(rng: random.Random, data: bytearray) -> None:
    at = rng.randrange(len(data))
    del data[at : at + rng.randint(1, 64)]


def _repeat(rng: random.Random, data: bytearray) -> None:
    start, at = rng.randrange(len(data)), rng.randrange(len(data))
    data[at:at] = data[start : start + rng.randint(1, 512)]


_CHANGES: tuple[Callable[[random.Random, bytearray], None], ...] = (
    _flip,
    _overwrite,
    _number,
    _field,
    _field,
    _cut,
    _remove,
    _repeat,
)
