"""Tables of images: parquet and arrow, as Hugging Face's `datasets` writes them, read as an archive.

pyarrow is an extra (`tdmr[parquet]`). It is native code that reads what strangers wrote; it is used only here, in the
import's own process, which has no network, no secrets and a bound on its memory, and it starts no threads.
"""

import json
import math
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from app.domain.errors import DatasetRejected
from app.ingest.entry import Entry
from app.ingest.limits import Limits, Meter
from app.ingest.names import rejected
from app.reading.listing import Given
from app.reading.tables.class_columns import nearly_all_differ
from app.reading.tables.columns import LABEL_NAMES, bare
from app.reading.tables.headings import FLAG_NAMES, SPLIT_NAMES
from app.reading.tables.one_label import is_nested, unwrapped, unwrapped_cell

ROWS_AT_ONCE = 32
_CALLED = frozenset(map(bare, LABEL_NAMES))
_SPLITS = frozenset(map(bare, (*SPLIT_NAMES, *FLAG_NAMES)))
_MOST_CHARACTERS = 64
"""Of a cell that may be a word for a split."""
_MAGIC = {
    b"\xff\xd8": ".jpg",
    b"\x89P": ".png",
    b"GI": ".gif",
    b"RI": ".webp",
    b"BM": ".bmp",
    b"II": ".tif",
    b"MM": ".tif",
}


def open_table(path: Path, limits: Limits, labels_column: str | None = None) -> "TableArchive":
    """
    Raises:
        DatasetRejected: pyarrow is not installed, the file is damaged, or has no images or no labels.
    """
    try:
        import pyarrow  # noqa: F401, PLC0415 an extra
    except ImportError:
        raise DatasetRejected(
            "The file is a parquet or arrow table; this service cannot read it.",
            hint="The operator can install the extra `tdmr[parquet]`. Or write the images out, one folder per class.",
        ) from None
    return TableArchive(path, limits, labels_column)


class TableArchive:
    """See `Archive`: each row is an image, named by its number."""

    def __init__(self, path: Path, limits: Limits, labels_column: str | None) -> None:
        self._path = path
        self._limits = limits
        self.entries: list[Entry] = []
        self.folders: list[str] = []
        self.notes: list[str] = []
        self.given: list[Given] = []
        self._kind = "a parquet table" if _is_parquet(path) else "an arrow table"
        try:
            self._read(labels_column)
        except DatasetRejected:
            raise
        except Exception:  # it may raise anything on damaged or hostile bytes
            raise self._damaged() from None

    def _read(self, labels_column: str | None) -> None:
        schema = self._schema()
        self._image = _image_column(schema)
        if self._image is None:
            raise DatasetRejected(
                f"No column of {self._kind} holds images; it has {', '.join(schema.names[:20])}.",
                hint="The images must be in the table, as `datasets` writes them (columns `image` and `label`).",
            )
        label = _label_column(schema, self._image, labels_column)
        if label is None:
            raise self._no_class(schema)
        meter = Meter(self._path.stat().st_size, self._limits)
        labels: dict[str, str | None] = {}
        called = _called_like_splits(schema, {self._image, label})
        cells: dict[str, list[str]] = {name: [] for name in called}
        for number, (data, value, more) in enumerate(self._rows([self._image, label, *called], label)):
            meter.entry()
            if data is None:
                continue
            meter.unpacked(len(data))
            name = f"{number:07d}{_MAGIC.get(data[:2], '.img')}"
            self.entries.append(Entry(name, len(data)))
            labels[name] = value
            for column, cell in zip(cells.values(), more, strict=True):
                column.append(sys.intern(cell))  # a few words, a million times
        told = [value for value in labels.values() if value]
        if labels_column is None and bare(label) not in _CALLED and nearly_all_differ(told):
            raise self._no_class(schema)
        like_splits = {name: _named(column, _class_names(schema, name)) for name, column in cells.items()}
        self.given.append(Given(self._kind, label, labels, _class_names(schema, label), like_splits))

    def walk(self, wanted: Callable[[Entry], bool]) -> Iterator[tuple[Entry, bytes]]:
        entries = iter(self.entries)
        assert self._image is not None, "found when the table was opened"
        try:
            for data, *_ in self._rows([self._image], None):
                if data is not None:
                    entry = next(entries)
                    if wanted(entry):
                        yield entry, data
        except (ValueError, OSError):
            raise self._damaged() from None

    def copy(self, path: str, target: Path) -> None:
        for _, data in self.walk(lambda entry: entry.path == path):
            target.write_bytes(data)

    def _schema(self) -> Any:
        import pyarrow as arrow  # noqa: PLC0415
        from pyarrow import parquet  # noqa: PLC0415

        if self._kind == "a parquet table":
            with parquet.ParquetFile(self._path) as file:
                return file.schema_arrow
        with arrow.OSFile(str(self._path)) as file:
            return _reader(arrow, file).schema

    def _rows(self, columns: list[str], label: str | None) -> Iterator[tuple[bytes | None, str | None, list[str]]]:
        """The image, its label, and what the columns behind these two say."""
        for batch in self._batches(columns):
            images = batch.column(batch.schema.get_field_index(columns[0]))
            labels = None if label is None else batch.column(batch.schema.get_field_index(label))
            further = [batch.column(batch.schema.get_field_index(name)) for name in columns[2:]]
            for row in range(batch.num_rows):
                value = images[row].as_py()
                data = value.get("bytes") if isinstance(value, dict) else value
                told = None if labels is None else _label(labels[row].as_py(), row, str(label))
                yield data, told, [_cell(column[row].as_py()) for column in further]

    def _batches(self, columns: list[str]) -> Iterator[Any]:
        import pyarrow as arrow  # noqa: PLC0415
        from pyarrow import parquet  # noqa: PLC0415

        if self._kind == "a parquet table":
            with parquet.ParquetFile(self._path, pre_buffer=False) as file:
                yield from file.iter_batches(batch_size=ROWS_AT_ONCE, columns=columns, use_threads=False)
            return
        with arrow.OSFile(str(self._path)) as file:
            reader = _reader(arrow, file)
            batches = (
                (reader.get_batch(i) for i in range(reader.num_record_batches))
                if hasattr(reader, "num_record_batches")
                else reader
            )
            for batch in batches:
                yield batch.select(columns)

    def _no_class(self, schema: Any) -> DatasetRejected:
        return DatasetRejected(
            f"No column of {self._kind} tells a class; it has {', '.join(schema.names[:20])}.",
            hint="Name the right one as `labels_column`.",
        )

    def _damaged(self) -> DatasetRejected:
        return DatasetRejected(
            f"The file, {self._kind}, is damaged or incomplete.", hint="Write it and upload it again."
        )


def _reader(arrow: Any, file: Any) -> Any:
    """`save_to_disk` writes streams; others write files."""
    options = arrow.ipc.IpcReadOptions(use_threads=False)
    try:
        return arrow.ipc.open_file(file, options=options)
    except arrow.ArrowInvalid:
        file.seek(0)
        return arrow.ipc.open_stream(file, options=options)


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _image_column(schema: Any) -> str | None:
    from pyarrow import types  # noqa: PLC0415

    def holds_bytes(kind: Any) -> bool:
        if types.is_struct(kind):
            return bool(kind.get_field_index("bytes") >= 0 and holds_bytes(kind.field("bytes").type))
        return bool(types.is_binary(kind) or types.is_large_binary(kind))

    found: list[str] = [field.name for field in schema if holds_bytes(field.type)]
    return next(
        (name for name in found if bare(name) in ("image", "img", "picture", "photo")), found[0] if found else None
    )


def _label_column(schema: Any, image: str, asked: str | None) -> str | None:
    from pyarrow import types  # noqa: PLC0415

    if asked is not None:
        names: list[str] = schema.names
        found = next((name for name in names if bare(name) == bare(asked) and name != image), None)
        if found is None:
            raise DatasetRejected(
                f"The table has no column {asked!r}; it has {', '.join(schema.names[:20])}.",
                hint="Name one of its columns as `labels_column`.",
            )
        return found
    fit: dict[str, str] = {
        bare(field.name): field.name
        for field in schema
        if field.name != image and (types.is_integer(field.type) or _is_text(field.type))
    }
    nested = {
        bare(field.name): field.name for field in schema if types.is_list(field.type) or types.is_struct(field.type)
    }
    others = {
        bare(field.name): field.name
        for field in schema
        if types.is_boolean(field.type) or types.is_floating(field.type)
    }
    for columns in (fit, nested, others):
        for name in LABEL_NAMES:
            if columns.get(bare(name), image) != image:
                return columns[bare(name)]
    named = [name for name in fit.values() if _class_names(schema, name)]
    return named[0] if len(named) == 1 else next(iter(fit.values())) if len(fit) == 1 else None


def _class_names(schema: Any, column: str) -> tuple[str, ...] | None:
    """Of a ClassLabel, as `datasets` notes it in the schema."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        feature = features[column]
        while isinstance(feature, list) or "feature" in feature:  # a list of a ClassLabel
            feature = feature[0] if isinstance(feature, list) else feature["feature"]
        names = feature["names"]
    except (IndexError, KeyError, TypeError, ValueError):
        return None
    return tuple(map(str, names)) if isinstance(names, list) else None


def _called_like_splits(schema: Any, but: Collection[str]) -> list[str]:
    """Columns that may tell the split, by their headings."""
    from pyarrow import types  # noqa: PLC0415

    def may(kind: Any) -> bool:
        return bool(_is_text(kind) or types.is_integer(kind) or types.is_boolean(kind))

    once = (f for f in schema if f.name not in but and schema.names.count(f.name) == 1)
    return [f.name for f in once if bare(f.name) in _SPLITS and may(f.type)]


def _is_text(kind: Any) -> bool:
    from pyarrow import types  # noqa: PLC0415

    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_dictionary(kind))


def _named(cells: list[str], names: tuple[str, ...] | None) -> tuple[str, ...]:
    return tuple(names[int(c)] if names and c.isdecimal() and int(c) < len(names) else c for c in cells)


def _cell(value: object) -> str:
    return "" if value is None else str(value).strip()[:_MOST_CHARACTERS]


def _label(value: object, row: int, column: str) -> str | None:
    if isinstance(value, str):
        value = value.strip()
    if isinstance(value, list | dict) or (isinstance(value, str) and is_nested(value)):
        told = (unwrapped_cell(value) if isinstance(value, str) else unwrapped(value)).label
        if told is None:
            raise DatasetRejected(
                f"The column {column!r} gives several labels to one image, such as {str(value)[:120]} in row {row}; a "
                "classifier knows one class per image.",
                hint="Keep one label per image.",
            )
        value = told
    if isinstance(value, float):  # pandas makes floats of numbers where some are missing
        value = None if math.isnan(value) else int(value) if value.is_integer() else value
    if value is None or value in (-1, ""):  # -1: `datasets` has no label for it
        return None
    if isinstance(value, str | int):
        text = str(value)
        if not text.isprintable() or len(text.encode(errors="replace")) > 255:
            raise rejected(f"row {row}", "has a label that is too long or not printable")
        return text
    raise rejected(f"row {row}", "has a label that is neither text nor a whole number")
