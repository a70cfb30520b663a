"""`labels.csv`: one line per image, `path,label` or `path,label,split`."""

import csv
import io

from app.domain.base import Frozen
from app.domain.dataset import Split
from app.domain.errors import DatasetRejected

LABELS_NAME = "labels.csv"
COLUMNS = ("path", "label", "split")
MAX_LABEL_BYTES = 255
"""As for a class folder: what a file system allows as one name."""

SPLIT_NAMES = {
    "train": Split.TRAIN,
    "val": Split.VAL,
    "valid": Split.VAL,
    "validation": Split.VAL,
    "test": Split.TEST,
    "unlabeled": Split.UNLABELLED,
    "unlabelled": Split.UNLABELLED,
}
"""How people write the splits, as folder names and in the `split` column; letter case does not matter."""


class LabelRow(Frozen):
    """One image as the user describes it."""

    line: int
    """Where it stands, for a message about it."""
    path: str
    label: str
    """Empty exactly where `split` is unlabelled."""
    split: Split | None
    """None where the file has no splits."""


def read_labels(text: str) -> list[LabelRow]:
    """Every row of a `labels.csv`; a leading byte order mark and blank lines are ignored.

    Raises:
        DatasetRejected: wrong header, an empty label or path, an unknown split, … with the line.
    """
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(map(str.strip, cells))]
    except csv.Error as error:
        raise _rejected(reader.line_num, f"cannot be read: {error}") from None
    if not lines:
        raise DatasetRejected(
            f"{LABELS_NAME} is empty.", hint="Its first line must be `path,label` or `path,label,split`."
        )
    header = [name.lower() for name in lines[0][1]]
    if len(set(header)) != len(header) or not {"path", "label"} <= set(header) <= set(COLUMNS):
        raise DatasetRejected(
            f"The first line of {LABELS_NAME} is {','.join(header)[:100]!r}.",
            hint="It must be `path,label` or `path,label,split`, separated by commas.",
        )
    rows = [_row(line, header, cells) for line, cells in lines[1:]]
    if not rows:
        raise DatasetRejected(f"{LABELS_NAME} names no image.", hint="Add one line per image below the header.")
    _check_splits(rows)
    return rows


def _row(line: int, header: list[str], cells: list[str]) -> LabelRow:
    if len(cells) != len(header):
        raise _rejected(line, f"has {len(cells)} columns instead of {len(header)}", "Quote names that contain a comma.")
    values = dict(zip(header, cells, strict=True))
    path, label, named = values["path"], values["label"], values.get("split", "")
    if named and named.lower() not in SPLIT_NAMES:
        raise _rejected(line, f"names an unknown split {named[:100]!r}", "Use train, val, test or unlabeled.")
    split = SPLIT_NAMES[named.lower()] if named else None
    if not path:
        raise _rejected(line, "has an empty path")
    if split is Split.UNLABELLED:
        label = ""
    elif not label:
        raise _rejected(line, "has an empty label", "Fill it in, or give the image the split `unlabeled`.")
    if len(label.encode()) > MAX_LABEL_BYTES or not label.isprintable():
        raise _rejected(line, f"has a label that is too long or not printable: {label[:100]!r}")
    return LabelRow(line=line, path=path.replace("\\", "/").removeprefix("./"), label=label, split=split)


def _check_splits(rows: list[LabelRow]) -> None:
    """A split for some rows only would leave it open where the others belong."""
    missing = [row for row in rows if row.split is None]
    if missing and any(row.split not in (None, Split.UNLABELLED) for row in rows):
        raise _rejected(missing[0].line, "has an empty split", "Fill in the column everywhere, or leave it out.")


def _rejected(line: int, fact: str, hint: str | None = None) -> DatasetRejected:
    return DatasetRejected(f"{LABELS_NAME}, line {line} {fact}.", hint=hint)
