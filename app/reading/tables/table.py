"""Tables as people and tools save them: rows of cells, whatever the dialect.

Lines are read one by one: all of a long file, as rows, would take twenty times its size.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice

from app.domain.errors import DatasetRejected
from app.reading.listing import IMAGE_SUFFIXES, name_of, suffix_of
from app.reading.words import folded, split_of

_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
"""With its end, as `csv` wants it."""
_WHOLE = re.compile(r"^(-?[0-9]+)\.0+$")
"""A label as MXNet's im2rec writes it into a .lst file: `1.000000`."""
_DELIMITERS = (",", ";", "\t", "|")
_IMAGE_PATH = re.compile(
    r"(.+?(?:" + "|".join(map(re.escape, sorted(IMAGE_SUFFIXES))) + r"))(?:\s+(.*))?$", re.IGNORECASE
)
_SAMPLE_LINES = 50
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
    """Of a line, where spaces are between cells; the first may hold spaces itself. 0: a path and a label of several
    words, `img/1.jpg green lemon`."""
    spaced: bool = False
    """Whether a space is between a delimiter and the quote that begins a cell."""
    spelled: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    """By column and folded cell, the word that a cell stands for."""
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
        rows = self._record_rows() if self.is_json else self._word_rows() if self.delimiter == " " else self._csv_rows()
        if not self.spelled:
            yield from rows
            return
        for number, cells in rows:
            yield number, [self.spelled.get(i, {}).get(folded(cell), cell) for i, cell in enumerate(cells)]

    def sample(self, count: int) -> list[Row]:
        return list(islice(self.rows(), count))

    def spread(self, count: int) -> list[Row]:
        """Some rows from all over the file, for what the first cannot tell: many tables are sorted by class. Of lines
        that are no rows, such as parts of a cell, most have another width and do no harm."""
        if self.records:
            some = self.records[:: max(1, len(self.records) // count)]
            return list(replace(self, records=some).rows())
        step, found = max(1, len(self.text) // count), []
        for offset in range(step, len(self.text), step):
            start = self.text.find("\n", offset) + 1
            if start:
                line = self.text[start : self.text.find("\n", start) + 1 or None]
                with suppress(DatasetRejected):
                    found += list(replace(self, text=line).rows())[:1]
        return found

    def _lines(self) -> Iterator[tuple[int, str]]:
        start = re.compile(r"\ufeff?(?:sep=.\r?\n)?").match(self.text)
        for number, line in enumerate(_LINE.finditer(self.text, start.end() if start else 0), start=1):
            if self.max_lines is not None and number > self.max_lines + (not self.is_json):
                raise DatasetRejected(
                    f"{self.file} has more than {self.max_lines + (not self.is_json):,} lines.",
                    hint="Give each image one line. The operator of the service can raise TDMR_MAX_IMAGES.",
                )
            yield number, line[0]

    def _word_rows(self) -> Iterator[Row]:
        for number, line in self._lines():
            words = _path_and_rest(line) if not self.words else line.strip().rsplit(None, self.words - 1)
            if words and not line.startswith("#"):
                yield number, words

    def _csv_rows(self) -> Iterator[Row]:
        lines = (line for _, line in self._lines())
        reader = csv.reader(lines, delimiter=self.delimiter, strict=True, skipinitialspace=self.spaced)
        whole = _WHOLE if suffix_of(self.file) == ".lst" else None
        try:
            for cells in reader:
                if any(map(str.strip, cells)):
                    found = [cell.strip() for cell in cells]
                    yield reader.line_num, [whole.sub(r"\1", cell) for cell in found] if whole else found
        except csv.Error as error:
            raise rejected(self.file, reader.line_num, f"cannot be read: {error}") from None

    def _record_rows(self) -> Iterator[Row]:
        if not self.records:
            yield from self._json_rows()
        for number, record in enumerate(self.records, start=1):
            yield number, [as_text(record.get(key)) for key in self.keys]

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
    fits = {
        delimiter: max((_fits(some, delimiter, spaced=s), not s) for s in (False, True)) for delimiter in _DELIMITERS
    }
    found = max(fits, key=lambda delimiter: fits[delimiter][0])
    if fits[found][0] > (0, 0):
        quoted = any(re.search(re.escape(found) + ' +"', line) for line in some)
        return Table(file, text, found, max_lines, spaced=quoted and _fits(some, found, spaced=True) >= fits[found][0])
    if suffix in (".txt", ".lst", ".data", ".tab") and all(len(line.split()) > 1 for line in some):
        return Table(file, text, " ", max_lines, _words([line for line in some if not line.startswith("#")]))
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


def _words(lines: Sequence[str]) -> int:
    """Of a line with spaces between its cells: what `Table.words` says."""
    counts = {len(line.split()) for line in lines}
    rests = [rest[1].split() for line in lines if len(rest := _path_and_rest(line)) == 2]
    if rests and len(rests) == len(lines) and max(map(len, rests)) > 1:
        texts = not any(re.fullmatch(r"-?[0-9.]+", word) for words in rests for word in words)
        splits = any(all(split_of(word) is not None for word in words) for words in zip(*rests, strict=False))
        if texts and not splits:
            return 0
    return counts.pop() if len(counts) == 1 else 2


def _path_and_rest(line: str) -> list[str]:
    """A path that ends like an image, which may hold spaces, and what follows it."""
    found = _IMAGE_PATH.match(line.strip())
    return [part for part in found.groups() if part] if found else line.split(None, 1)


def _fits(lines: Iterable[str], delimiter: str, *, spaced: bool) -> tuple[float, int]:
    """The share of lines with the usual number of cells, and that number; nothing for a single column."""
    try:
        rows = csv.reader(lines, delimiter=delimiter, skipinitialspace=spaced, strict=spaced)
        counts = Counter(len(cells) for cells in rows if any(cells))
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
