"""What readers see of an archive or a folder: the names of its files, and what stands in the small ones."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"}
    | {".avif", ".heic", ".heif"}
)
"""What is taken for an image before anything is decoded."""
TEXT_SUFFIXES = frozenset(
    {".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".xml", ".md", ".yaml", ".yml", ".cls", ".lst", ".names"}
    | {".pbtxt", ".data", ".tab", ".manifest"}
)
"""What a reader may want to read."""
JUNK_NAMES = frozenset({"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin"})
"""Left behind by file managers; hidden files are ignored too."""


@dataclass(frozen=True)
class Given:
    """Images that lie inside a file which also tells their labels, such as a parquet table."""

    format: str
    """`a parquet table`"""
    column: str
    """Which part of it tells the class."""
    labels: Mapping[str, str | None]
    """By path; None: without a label."""
    names: tuple[str, ...] | None = None
    """Of the classes, where the labels are numbers."""
    like_splits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Parts of it that are called as those are that tell splits: their cells, in the order of `labels`."""


@dataclass(frozen=True)
class Listing:
    """Paths have forward slashes, are relative, in NFC, and name each file once. Junk is not among them."""

    images: tuple[str, ...]
    """What will be decoded, sorted."""
    texts: Mapping[str, bytes] = field(default_factory=dict)
    """Files that may tell labels."""
    others: Mapping[str, str] = field(default_factory=dict)
    """Further files, each with what it is where that is known: `a TFRecord file`."""
    empty_folders: tuple[str, ...] = ()
    """Folders that hold no file at all."""
    given: tuple[Given, ...] = ()
    addresses: Mapping[str, str] = field(default_factory=dict)
    """Where a table's images were fetched: path by the address that stands in the table."""

    @cached_property
    def root(self) -> str:
        """The folders, with a trailing slash, that hold all images."""
        return common_folder(self.images)


def common_folder(paths: Iterable[str]) -> str:
    """The deepest folder, with a trailing slash, that holds all of the files."""
    common: list[str] | None = None
    for path in paths:
        parts = path.split("/")[:-1]
        if common is None:
            common = parts
        elif common and path[: sum(map(len, common)) + len(common)] != "/".join(common) + "/":
            common = [one for one, other in _while_equal(common, parts)]
        if common == []:
            return ""
    return "".join(f"{part}/" for part in common or ())


def _while_equal(one: list[str], other: list[str]) -> Iterable[tuple[str, str]]:
    for pair in zip(one, other, strict=False):
        if pair[0] != pair[1]:
            return
        yield pair


def is_junk(path: str) -> bool:
    """Whether a file was left behind by a file manager, or is hidden. A placeholder of iCloud is neither: it stands for
    a picture."""
    *folders, name = path.split("/")
    hidden = any(part.startswith(".") for part in (*folders, *([] if name.endswith(".icloud") else [name])))
    return hidden or any(part.lower() in JUNK_NAMES for part in (*folders, name))


def hidden_folder(path: str) -> str | None:
    """The hidden folder that an image stands in, where somebody may have meant it: tools call theirs in one word, or
    put copies there."""
    parts = path.split("/")
    if any(part.lower() in JUNK_NAMES for part in parts) or parts[-1].startswith(".") or not has_image_name(path):
        return None
    hidden = next((part for part in parts[:-1] if part.startswith(".")), None)
    return None if hidden is None or hidden.lower() in _TOOLS else hidden


_TOOLS = frozenset(
    {".git", ".svn", ".hg", ".ipynb_checkpoints", ".thumbnails", ".thumbs", ".trash", ".trashes", ".cache", ".idea"}
    | {".vscode", ".picasaoriginals", ".appledouble", ".spotlight-v100", ".fseventsd", ".dvc", ".venv"}
)


def suffix_of(path: str) -> str:
    """Lower case, with its dot; empty where there is none."""
    name = path.rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    return f".{suffix.lower()}" if dot and stem else ""


def has_image_name(path: str) -> bool:
    return suffix_of(path) in IMAGE_SUFFIXES


def folder_of(path: str) -> str:
    """With a trailing slash; empty for a file at the top."""
    folder, slash, _ = path.rpartition("/")
    return folder + slash


def name_of(path: str) -> str:
    return path.rpartition("/")[2]


def stem_of(path: str) -> str:
    """The file's name without its suffix."""
    name = name_of(path)
    stem, dot, _ = name.rpartition(".")
    return stem if dot and stem else name
