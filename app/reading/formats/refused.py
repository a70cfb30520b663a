"""What is known by its name and cannot be read, with what to do."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator

from app.reading.context import Context
from app.reading.listing import folder_of, has_image_name, stem_of, suffix_of
from app.reading.reading import Reading, Refusal, Strength
from app.reading.tables.table import is_table_name

_HINTS = {
    "a TFRecord file": "Write the images out: tfds.load(…) or tf.data.TFRecordDataset, one folder per class; or export "
    "the data set anew as folders.",
    "an HDF5 file": "Write the images out with h5py, one folder per class.",
    "a NumPy file": "Write the images out with Pillow, one folder per class.",
    "a MATLAB file": "Write the images out, one folder per class, or the labels as a labels.csv.",
    "a pickle": "It is never opened, since it may run programs. Write the images out, one folder per class.",
    "an IDX file": "Write the images out, one folder per class (torchvision.datasets.MNIST reads it).",
    "an LMDB database": "Write the images out, one folder per class.",
    "an SQLite database": "Write the images out, one folder per class.",
    "an MXNet RecordIO file": "Write the images out, one folder per class (mxnet.recordio reads it).",
    "a video": "Cut single pictures out of it (ffmpeg -i film.mp4 -vf fps=1 %04d.jpg), one folder per class.",
    "a spreadsheet": "Save it as “CSV UTF-8” and pack that.",
    "a parquet table": "Install the extra `tdmr[parquet]` on the workers, or write the images out.",
    "an arrow table": "Install the extra `tdmr[parquet]` on the workers, or write the images out.",
}

_NOTHING = ("text", "an empty file", "anything that is known here")
"""Kinds of files that nobody takes for images."""
_WRITE_OUT = "Write the images out as JPEG or PNG, one folder per class"
_MANY_PIXELS = 60
"""Numbers in a row from which on it is a picture: the smallest that are handed round have 8 × 8."""
_HEAD = 2**16


def read(context: Context) -> Iterator[Reading | Refusal]:
    for refusal in (_foreign(context), _pixels(context), _yolo(context)):
        if refusal is not None:
            yield refusal


def _foreign(context: Context) -> Refusal | None:
    """What the archive holds instead of images, or beside them where images may be in it."""
    others, images = context.listing.others, context.listing.images
    kinds = Counter(kind for kind in others.values() if kind in _HINTS or (not images and kind not in _NOTHING))
    if not kinds or context.listing.given:
        return None
    kind, count = kinds.most_common(1)[0]
    called, _, what_to_do = kind.partition(": ")
    example = next(path for path, other in others.items() if other == kind)
    told = f"{example!r} is {called}" + (f", as are {count - 1:,} more files" if count > 1 else "")
    return Refusal(
        kind,
        f"{told}; images are not read from it." if images else f"The archive holds no image: {told}.",
        _HINTS.get(kind) or f"{what_to_do[:1].upper()}{what_to_do[1:] or _WRITE_OUT}.",
        Strength.CLEAN if images else Strength.EXPLICIT,
        frozenset(path for path, other in others.items() if other == kind),
    )


def _pixels(context: Context) -> Refusal | None:
    """Tables of the images themselves: a column for each pixel, or a cell with all of them, as numbers or as base64."""
    found = {file: how for file in context.shallow if is_table_name(file) and (how := _pixels_of(context, file))}
    if not found or context.listing.given:
        return None
    file, how = next(iter(found.items()))
    also = f", as do {len(found) - 1:,} more tables" if len(found) > 1 else ""
    none = "" if context.listing.images else "The archive holds no image file: "
    return Refusal(
        "a table of pixels",
        f"{none}{file!r} holds the images themselves, {how}{also}; images are not read from it.",
        "Write each row out as a PNG (numpy and Pillow, or base64.b64decode), into one folder per class.",
        Strength.WEAK if context.listing.images else Strength.EXPLICIT,  # beside images it is a copy of them
        frozenset(found),
    )


def _pixels_of(context: Context, file: str) -> str | None:
    """How a table holds pixels, by its second line: the first may be a heading."""
    head = context.listing.texts[file][:_HEAD]
    if len(head) < _MANY_PIXELS:
        return None
    first, _, rest = head.decode(errors="replace").partition("\n")
    cells = re.split(r"[,;\t]", (rest.partition("\n")[0] or first).strip())
    if any(map(has_image_name, cells)):
        return None
    numbers = list(filter(str.isdigit, cells))
    if len(numbers) > max(_MANY_PIXELS, 0.9 * len(cells)) and {*numbers} != {"0", "1"}:  # those are flags
        return f"as {len(cells):,} columns of numbers"
    longest = max(cells, key=len).strip(" \"'")
    if len(longest) > 2 * _MANY_PIXELS and re.fullmatch(r"[0-9. ]+", longest):
        return "as a column of numbers"
    if len(longest) > 4 * _MANY_PIXELS and re.fullmatch(r"(data:image/\w+;base64,)?[A-Za-z0-9+/_-]+=*", longest):
        return "as base64"
    return None


def _yolo(context: Context) -> Refusal | None:
    """Text files of numbers, one for each image: class and box."""
    texts: dict[str, list[str]] = defaultdict(list)
    for file in context.listing.texts:
        if suffix_of(file) == ".txt":
            texts[stem_of(file)].append(file)
    beside = [texts[stem_of(path)][0] for path in context.listing.images if stem_of(path) in texts]
    if len(beside) < max(2, 0.3 * len(context.listing.images)):
        return None
    boxed = 0
    beside = [file for file in beside if context.listing.texts[file].strip()]  # empty: nothing is in the image
    for file in beside[:50]:
        lines = context.listing.texts[file][:2000].decode(errors="replace").split("\n")
        rows = [line.split() for line in lines if line.strip()]
        boxed += bool(rows) and all(len(row) >= 5 and _are_numbers(row) for row in rows[:5])
    if boxed < max(1, 0.5 * min(50, len(beside))):
        return None
    for file in {*beside} & {*context.shallow}:
        context.ignore(file, "it holds classes and boxes, as YOLO has them")
    return Refusal(
        "YOLO with boxes",
        f"This is YOLO with boxes: {len(beside):,} text files of classes and boxes, such as {beside[0]!r} in "
        f"{folder_of(beside[0])!r}. They say where objects are, not which one class an image has.",
        "Cut the boxes out and sort them into one folder per class; or export the data set for classification.",
        Strength.EXPLICIT,
        frozenset(beside),
    )


def _are_numbers(words: list[str]) -> bool:
    try:
        return all(float(word) is not None for word in words)
    except ValueError:
        return False
