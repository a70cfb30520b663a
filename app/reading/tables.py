"""Tables as people and tools save them: rows of cells, whatever the dialect.

Lines are read one by one: all of a long file, as rows, would take twenty times its size.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from app.domain.errors import DatasetRejected
from app.reading.listing import name_of, suffix_of

_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
"""With its end, as `csv` wants it."""
_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_LINES = 50
MAX_CELL = 2**17
MAX_JSON_BYTES = 64 * 2**20
"""A parsed JSON document takes some ten times its size."""

Row = tuple[int, list[str]]
"""Line, and its cells."""


@dataclass(frozen=True)
class Table:
    """A file that has rows and columns."""

    file: str
    text: str
    delimiter: str
    """Between cells; a space where a line is a path and then a label; empty for JSON lines."""
    max_lines: int | None
    words: int = 2
    """Of a line, where spaces are between cells; the first may hold spaces itself."""
    keys: tuple[str, ...] = ()
    """Of JSON lines: the columns."""
    records: Sequence[dict[str, object]] = ()
    """Of a JSON list of objects, already parsed."""

    @property
    def is_json(self) -> bool:
        return bool(self.keys)

    def rows(self) -> Iterator[Row]:
        """All of them, from the first line on, which may be a heading. Blank lines are left out.

        Raises:
            DatasetRejected: a line that cannot be read, or too many.
        """
        if self.records:
            for number, record in enumerate(self.records, start=1):
                yield number, [as_text(record.get(key)) for key in self.keys]
        elif self.keys:
            yield from self._json_rows()
        elif self.delimiter == " ":
            for number, line in self._lines():
                words = line.strip().rsplit(None, self.words - 1)
                if words and not line.startswith("#"):
                    yield number, words
        else:
            yield from self._csv_rows()

    def sample(self, count: int) -> list[Row]:
        return list(islice(self.rows(), count))

    def _lines(self) -> Iterator[tuple[int, str]]:
        start = re.compile(r"\ufeff?(?:sep=.\r?\n)?").match(self.text)
        for number, line in enumerate(_LINE.finditer(self.text, start.end() if start else 0), start=1):
            if self.max_lines is not None and number > self.max_lines + (not self.is_json):
                raise DatasetRejected(
                    f"{self.file} has more than {self.max_lines + (not self.is_json):,} lines.",
                    hint="Give each image one line. The operator of the service can raise TDMR_MAX_IMAGES.",
                )
            yield number, line[0]

    def _csv_rows(self) -> Iterator[Row]:
        reader = csv.reader((line for _, line in self._lines()), delimiter=self.delimiter, strict=True)
        try:
            for cells in reader:
                if any(map(str.strip, cells)):
                    yield reader.line_num, [cell.strip() for cell in cells]
        except csv.Error as error:
            raise rejected(self.file, reader.line_num, f"cannot be read: {error}") from None

    def _json_rows(self) -> Iterator[Row]:
        for number, line in self._lines():
            if line.strip():
                values = json_object(self.file, number, line)
                yield number, [as_text(values.get(key)) for key in self.keys]


def open_table(file: str, text: str, max_lines: int | None = None) -> Table | None:
    """The table that a file holds; None where it holds none."""
    suffix = suffix_of(file)
    if suffix in (".jsonl", ".ndjson"):
        return _json_lines(file, text, max_lines)
    if suffix in (".json", ".xml", ".md", ".yaml", ".yml", ".cls", ".pbtxt", ".names"):
        return None
    lines = [line[0] for line in islice(_LINE.finditer(text, text.startswith("\ufeff")), 4 * _SAMPLE_LINES)]
    some = [line for line in lines if line.strip()][:_SAMPLE_LINES]
    if not some:
        return Table(file, text, ",", max_lines) if suffix == ".csv" else None
    found = max(_DELIMITERS, key=lambda delimiter: _fits(some, delimiter))
    if _fits(some, found) > (0, 0):
        return Table(file, text, found, max_lines)
    if suffix in (".txt", ".lst", ".data", ".tab") and all(len(line.split()) > 1 for line in some):
        counts = {len(line.split()) for line in some if not line.startswith("#")}
        return Table(file, text, " ", max_lines, counts.pop() if len(counts) == 1 else 2)
    return Table(file, text, ",", max_lines)  # one column: a list


def records_table(file: str, records: Sequence[object]) -> Table | None:
    """A JSON list of flat objects as a table."""
    kept = [record for record in records if isinstance(record, dict)]
    if not kept or len(kept) != len(records):
        return None
    keys = tuple(dict.fromkeys(str(key) for record in kept[:_SAMPLE_LINES] for key in record))
    return Table(file, "", "", None, keys=keys, records=kept)


def rejected(file: str, line: int, fact: str, hint: str | None = None) -> DatasetRejected:
    return DatasetRejected(f"{file}, line {line} {fact}.", hint=hint)


def json_object(file: str, number: int, line: str) -> dict[str, object]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        raise rejected(file, number, "is not JSON", "Write one object a line.") from None
    if not isinstance(values, dict):
        raise rejected(file, number, "is not a JSON object", 'Write {"file_name": …, "label": …} a line.')
    return values


def as_text(value: object) -> str:
    """A JSON value as a cell. What is no text and no number is written as JSON, which no label is."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list) and len(value) == 1:
        return as_text(value[0])
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, ensure_ascii=True)


def _json_lines(file: str, text: str, max_lines: int | None) -> Table | None:
    keys: dict[str, None] = {}
    for number, line in enumerate(islice(_LINE.finditer(text, text.startswith("\ufeff")), _SAMPLE_LINES), start=1):
        if line[0].strip():
            keys.update(dict.fromkeys(json_object(file, number, line[0])))
    return Table(file, text, "", max_lines, keys=tuple(keys) or ("file_name", "label"))


def _fits(lines: Iterable[str], delimiter: str) -> tuple[float, int]:
    """The share of lines with the usual number of cells, and that number; nothing for a single column."""
    try:
        counts = Counter(len(cells) for cells in csv.reader(lines, delimiter=delimiter) if any(cells))
    except csv.Error:
        return 0, 0
    usual, times = counts.most_common(1)[0] if counts else (1, 0)
    if usual < 2:
        wider = {count: n for count, n in counts.items() if count > 1}
        return (0.01, max(wider)) if wider and counts.total() < 3 else (0, 0)
    return round(times / counts.total(), 1), usual


def is_table_name(path: str) -> bool:
    return suffix_of(path) in (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".lst", ".tab", ".data", ".json") and bool(
        name_of(path)
    )
