"""What a file is that is no image: so that it can be called by its name, with what to do."""

import re
import struct

from app.reading.listing import suffix_of

CAMERA_RAW = "a camera's raw picture: export it as JPEG"
SHORTCUT = "a shortcut to a file elsewhere: pack that file"
_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer instead of the file: run `git lfs pull` and pack the folder again"),
    (b"%PDF", "a PDF document: save its pages as PNG"),
    (b"%!PS", "a PostScript drawing: save it as PNG"),
    (b"MZ", "a program"),
    (b"\x7fELF", "a program"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"PAR1", "a parquet table"),
    (b"ARROW1", "an arrow table"),
    (b"\x89HDF", "an HDF5 file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"8BPS", "a Photoshop document: save it as PNG or JPEG"),
    (b"\x93NUMPY", "a NumPy file"),
    (b"MATLAB 5.0", "a MATLAB file"),
    (b"v/1\x01", "an OpenEXR image: save it as 16-bit PNG"),
    (b"#?RADIANCE", "a Radiance HDR image: save it as PNG"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image: save it as JPEG or PNG"),
    (b"\xffO\xffQ", "a JPEG 2000 image: save it as JPEG or PNG"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL image: save it as JPEG or PNG"),
    (b"\xff\x0a", "a JPEG XL image: save it as JPEG or PNG"),
    (b"\x00\x00\x01\x00", "an icon: save it as PNG"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"OggS", "a video"),
    (b"SIMPLE  =", "a FITS image: save it as 16-bit PNG"),
    (b"\x80\x04\x95", "a pickle"),
    (b"\x80\x03", "a pickle"),
    (b"\x80\x02}", "a pickle"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a rar archive"),
    (b"FUJIFILMCCD-RAW", CAMERA_RAW),
    (b"L\x00\x00\x00\x01\x14\x02\x00", SHORTCUT),
    (b"[InternetShortcut]", SHORTCUT),
)
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_RAW_SUFFIXES = frozenset(
    {".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mos", ".mrw", ".nef", ".nrw"}
    | {".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"}
)
"""Of cameras. Many begin like TIFF, which holds no more than their thumbnail."""
_UNREAD = ("tga", "pcx", "dds", "xcf", "ai", "eps", "wmf", "emf", "cdr", "djvu", "wdp", "jxr")
_SUFFIXES = {
    **dict.fromkeys(_RAW_SUFFIXES, CAMERA_RAW),
    **dict.fromkeys((".dcm", ".dicom"), "a DICOM image: save it as 16-bit PNG"),
    **dict.fromkeys((".lnk", ".url", ".webloc"), SHORTCUT),
    **{f".{one}": f"a {one.upper()} file: save it as PNG" for one in _UNREAD},
    **dict.fromkeys((".doc", ".docx", ".odt", ".ppt", ".pptx"), "a document: save its pictures as PNG or JPEG"),
}
"""What is told by a suffix where the bytes tell nothing, or too little."""
_IMAGES = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM", b"II*\x00", b"MM\x00*", b"P5", b"P6", b"P4")
_NAMES: tuple[tuple[str, str], ...] = (
    (r"\.tfrecords?($|[-.])|tfrecord-\d+-of-\d+", "a TFRecord file"),
    (r"\.(h5|hdf5)$", "an HDF5 file"),
    (r"\.(npy|npz)$", "a NumPy file"),
    (r"\.mat$", "a MATLAB file"),
    (r"\.(pkl|pickle|pt|pth)$", "a pickle"),
    (r"(ubyte|idx[13])$", "an IDX file"),
    (r"\.(mdb|lmdb)$", "an LMDB database"),
    (r"\.(sqlite3?|db)$", "an SQLite database"),
    (r"\.rec$", "an MXNet RecordIO file"),
    (r"\.(mp4|mov|avi|mkv|webm|m4v|mpg|mpeg)$", "a video"),
    (r"\.(xlsx|xls|xlsm|ods|numbers)$", "a spreadsheet"),
    (r"\.parquet$", "a parquet table"),
    (r"\.arrow$", "an arrow table"),
    (r"^\..*\.icloud$", "a placeholder for a picture that is still in iCloud: download it and pack it again"),
)


def kind_by_name(path: str) -> str | None:
    """What a file with this name is, where that is no image and no text."""
    name = path.rpartition("/")[2].lower()
    return next((kind for pattern, kind in _NAMES if re.search(pattern, name)), None)


def kind_of(path: str, data: bytes) -> str | None:
    """What a file is, by its bytes, else by its suffix; `data` may be cut."""
    found, called = what(data), _SUFFIXES.get(suffix_of(path))
    return called if found in (None, "a zip archive", "text") and called else found  # documents are zip archives too


def what(data: bytes) -> str | None:  # noqa: PLR0911 one for each kind
    """What these bytes are, as far as that is known; `data` may be cut."""
    if not data:
        return "an empty file"
    for start, kind in _STARTS:
        if data.startswith(start):
            return kind
    if data[4:8] == b"ftyp" and data[8:12] not in _HEIF_BRANDS | {b"avif", b"avis"}:
        return "a video"
    if data.startswith(b"RIFF") and data[8:12] == b"AVI ":
        return "a video"
    if data[128:132] == b"DICM":
        return "a DICOM image: save it as 16-bit PNG"
    if _is_tfrecord(data):
        return "a TFRecord file"
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "an HTML page, such as a server sends when it refuses: download the file again"
    if b"<svg" in head:
        return "an SVG drawing: save it as PNG"
    if head.startswith((b"<?xml", b"<error")):
        return "an XML document, such as a server sends when it refuses"
    if head.startswith((b'{"', b"{\n", b"[{")):
        return "a JSON document, such as a server sends when it refuses"
    if not any(byte < 9 or 13 < byte < 32 for byte in data[:512]):
        return "text"
    return None


def is_heif(data: bytes) -> bool:
    return data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS


def is_camera_raw(path: str, data: bytes) -> bool:
    """Whether what begins like TIFF is a camera's picture, by its suffix."""
    return suffix_of(path) in _RAW_SUFFIXES and data.startswith((b"II", b"MM"))


def looks_like_image(data: bytes) -> bool:
    """By how it begins; it may be damaged."""
    return (
        data.startswith(_IMAGES)
        or (data.startswith(b"RIFF") and data[8:12] == b"WEBP")
        or is_heif(data)
        or (data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"avis"))
    )


def _is_tfrecord(data: bytes) -> bool:
    """The length of the first record, its checksum, the record, its checksum; and then the next one."""
    if len(data) < 20:
        return False
    (length,) = struct.unpack("<Q", data[:8])
    return bool(
        0 < length < 2**31
        and data[12:13] == b"\x0a"
        and length + 16 <= max(len(data), 2**20)
        and b"\x0a" in data[12:20]
    )
