"""What is known by its name and cannot be read, with what to do."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from app.reading.context import Context
from app.reading.listing import folder_of, stem_of, suffix_of
from app.reading.reading import Reading, Refusal, Strength

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


def read(context: Context) -> Iterator[Reading | Refusal]:
    kinds = Counter(kind for kind in context.listing.others.values() if kind in _HINTS)
    if kinds and not context.listing.given:
        kind, count = kinds.most_common(1)[0]
        example = next(path for path, other in context.listing.others.items() if other == kind)
        yield Refusal(
            kind,
            f"{example!r} is {kind}"
            + (f", as are {count - 1:,} more files" if count > 1 else "")
            + "; images are not read from it.",
            _HINTS[kind],
            Strength.CLEAN if context.listing.images else Strength.EXPLICIT,
            frozenset(path for path, other in context.listing.others.items() if other == kind),
        )
    yolo = _yolo(context)
    if yolo is not None:
        yield yolo


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
    for file in beside[:50]:
        lines = context.listing.texts[file][:2000].decode(errors="replace").split("\n")
        rows = [line.split() for line in lines if line.strip()]
        boxed += bool(rows) and all(len(row) >= 5 and _are_numbers(row) for row in rows[:5])
    if boxed < 0.5 * min(50, len(beside)):
        return None
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
