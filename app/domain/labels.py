"""Files that label images: our `labels.csv`, Hugging Face's `metadata.jsonl` and `metadata.csv`, a `manifest.csv`.

A `labels.csv` has the columns `path,label` or `path,label,split` and nothing else. The others are written by other
tools: their columns go by several names, and further ones are ignored.
"""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from app.domain.dataset import Split
from app.domain.errors import DatasetRejected

LABELS_NAME = "labels.csv"
FOREIGN_NAMES = ("metadata.jsonl", "metadata.csv", "manifest.csv")
COLUMNS = ("path", "label", "split")
FOREIGN_COLUMNS = {
    "path": ("file_name", "path", "filename", "file", "filepath", "file_path", "image", "image_path"),
    "label": ("label", "class", "category", "target", "class_name", "label_name"),
    "split": ("split", "set", "subset"),
}
"""How other tools call them, the likelier first."""
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

_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
"""With its end, as `csv` wants it."""

Row = tuple[int, Mapping[str, str]]
"""Line, and values by column as we call it."""


class LabelRow(NamedTuple):
    """One image as the user describes it."""

    file: str
    """The file of labels, for a message about the row."""
    line: int
    """Where it stands there."""
    path: str
    """Relative to the file's own folder."""
    label: str
    """Empty exactly where `split` is unlabelled."""
    split: Split | None
    """None where the file has no splits."""

    def rejected(self, fact: str, hint: str | None = None) -> DatasetRejected:
        return _rejected(self.file, self.line, fact, hint)


def read_labels(file: str, text: str, max_lines: int | None = None) -> Iterator[LabelRow]:
    """The rows of a file of labels, one by one; a leading byte order mark and blank lines are ignored.

    Args:
        file: its path, whose last part tells the kind.
        max_lines: beside the heading; None: no limit.

    Raises:
        DatasetRejected: wrong columns, an empty label or path, an unknown split, … with the line; too many lines.
    """
    name = file.rpartition("/")[2]
    heading = not name.endswith(".jsonl")
    lines = _lines(file, text, None if max_lines is None else max_lines + heading)
    if heading:
        rows = _read_csv(file, lines, _own_columns if name == LABELS_NAME else _foreign_columns)
    else:
        rows = _read_json_lines(file, lines)
    empty = True
    for line, values in rows:
        empty = False
        yield _row(file, line, values)
    if empty:
        raise DatasetRejected(f"{file} names no image.", hint="Add one line per image.")


def check_splits(rows: Iterable[LabelRow]) -> Iterator[LabelRow]:
    """The same rows.

    Raises:
        DatasetRejected: some rows have a split and some have none: it would be open where the others belong.
    """
    missing: LabelRow | None = None
    given = False
    for row in rows:
        if row.split is None:
            missing = missing or row
        elif row.split is not Split.UNLABELLED:
            given = True
        if missing is not None and given:
            raise missing.rejected("has an empty split", "Fill in the column everywhere, or leave it out.")
        yield row


def _lines(file: str, text: str, most: int | None) -> Iterator[str]:
    """One at a time: all of a long file, as rows, would take twenty times its size."""
    for number, line in enumerate(_LINE.finditer(text, text.startswith("\ufeff")), start=1):
        if most is not None and number > most:
            raise DatasetRejected(
                f"{file} has more than {most:,} lines.",
                hint="Give each image one line. The operator of the service can raise TDMR_MAX_IMAGES.",
            )
        yield line[0]


def _read_csv(file: str, text: Iterable[str], columns_of: Callable[[str, list[str]], dict[str, str]]) -> Iterator[Row]:
    lines = _csv_lines(file, text)
    _, header = next(lines, (0, []))
    if not header:
        raise DatasetRejected(f"{file} is empty.", hint="Its first line must be `path,label` or `path,label,split`.")
    header = [name.lower() for name in header]
    columns = columns_of(file, header)
    for line, cells in lines:
        if len(cells) != len(header):
            fact = f"has {len(cells)} columns instead of {len(header)}"
            raise _rejected(file, line, fact, "Quote names that contain a comma.")
        values = dict(zip(header, cells, strict=True))
        yield line, {column: values[key] for column, key in columns.items()}


def _csv_lines(file: str, text: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(text, strict=True)
    try:
        for cells in reader:
            if any(map(str.strip, cells)):
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise _rejected(file, reader.line_num, f"cannot be read: {error}") from None


def _own_columns(file: str, header: list[str]) -> dict[str, str]:
    if len(set(header)) != len(header) or not {"path", "label"} <= set(header) <= set(COLUMNS):
        raise DatasetRejected(
            f"The first line of {file} is {','.join(header)[:100]!r}.",
            hint="It must be `path,label` or `path,label,split`, separated by commas.",
        )
    return {name: name for name in header}


def _foreign_columns(file: str, header: list[str]) -> dict[str, str]:
    found = {
        column: next(name for name in names if name in header)
        for column, names in FOREIGN_COLUMNS.items()
        if any(name in header for name in names)
    }
    if not {"path", "label"} <= found.keys() or len(set(header)) != len(header):
        raise DatasetRejected(
            f"The first line of {file} is {','.join(header)[:100]!r}.",
            hint="It must have a column `file_name` and a column `label`; remove the file to have the folders read.",
        )
    return found


def _read_json_lines(file: str, text: Iterable[str]) -> Iterator[Row]:
    columns: dict[str, str] = {}
    for number, line in enumerate(text, start=1):
        if line.strip():
            values = _json_object(file, number, line)
            columns = columns or _json_columns(file, number, values)
            yield number, {column: _as_text(file, number, values.get(key)) for column, key in columns.items()}


def _json_object(file: str, number: int, line: str) -> dict[str, object]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        raise _rejected(file, number, "is not JSON", "Write one object a line.") from None
    if not isinstance(values, dict):
        raise _rejected(file, number, "is not a JSON object", 'Write {"file_name": …, "label": …} a line.')
    return values


def _json_columns(file: str, number: int, values: dict[str, object]) -> dict[str, str]:
    try:
        return _foreign_columns(file, list(values))
    except DatasetRejected:
        raise _rejected(
            file,
            number,
            "has no `file_name` and `label`",
            "Give each line both; remove the file to have the folders read.",
        ) from None


def _as_text(file: str, number: int, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value).strip()
    raise _rejected(file, number, "has a value that is neither text nor a whole number")


def _row(file: str, line: int, values: Mapping[str, str]) -> LabelRow:
    path, label, named = values["path"], values["label"], values.get("split", "")
    if named and named.lower() not in SPLIT_NAMES:
        raise _rejected(file, line, f"names an unknown split {named[:100]!r}", "Use train, val, test or unlabeled.")
    split = SPLIT_NAMES[named.lower()] if named else None
    if not path:
        raise _rejected(file, line, "has an empty path")
    if split is Split.UNLABELLED:
        label = ""
    elif not label:
        raise _rejected(file, line, "has an empty label", "Fill it in, or give the image the split `unlabeled`.")
    if not label.isprintable() or len(label.encode()) > MAX_LABEL_BYTES:
        raise _rejected(file, line, f"has a label that is too long or not printable: {label[:100]!r}")
    return LabelRow(file=file, line=line, path=path.replace("\\", "/").removeprefix("./"), label=label, split=split)


def _rejected(file: str, line: int, fact: str, hint: str | None = None) -> DatasetRejected:
    return DatasetRejected(f"{file}, line {line} {fact}.", hint=hint)
