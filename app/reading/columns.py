"""Which column of a table names the file, which the class, which the split: by what stands in them, and by their
headings."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.domain.dataset import Split
from app.domain.errors import DatasetRejected
from app.reading import matching
from app.reading.matching import PathIndex
from app.reading.reading import named
from app.reading.tables import Row, Table
from app.reading.words import folded, split_of


def _names(words: str) -> tuple[str, ...]:
    return tuple(words.split())


_SAMPLE_ROWS = 300
_MOST_CANDIDATES = 5
"""Columns that are offered as the class: each is read as a whole."""
PATH_NAMES = _names(
    "path file_name filename filepath file_path image_path img_path image_name img_name image file fname "
    "image_file image_id imageid img id_code id image_url url img_url photo_url picture_url uri link name img_id "
    "photo picture isic_id uuid"
)
LABEL_NAMES = _names(
    "label class class_name classname label_name labels category category_name choice target breed diagnosis "
    "dx species variety tag tags classification class_label annotation ground_truth groundtruth gt klasse "
    "clase etiqueta etiquette categorie categoria y class_id classid label_id category_id target_class "
    "labelname disease emotion expression kind type genus cultivar level grade fine_label "
    "finding_labels finding"
)
"""Words for a class, the likelier first; a heading counts without case, accents and what is no letter."""
_SPLITS = (
    "split",
    "set",
    "subset",
    "partition",
    "usage",
    "phase",
    "dataset",
    "data_set",
    "data_split",
    "fold",
    "purpose",
)
_FLAGS = {
    "is_valid": Split.VAL,
    "is_val": Split.VAL,
    "is_validation": Split.VAL,
    "is_test": Split.TEST,
    "is_train": Split.TRAIN,
    "is_training": Split.TRAIN,
}
_YES, _NO = frozenset({"1", "true", "yes"}), frozenset({"0", "false", "no"})
_WEIGHTS = {matching.EXACT: 1.0, matching.ENDING: 0.98, matching.CASE: 0.97, matching.STEM: 0.95, matching.PREFIX: 0.95}
_NUMBER_WEIGHT = 0.7


@dataclass(frozen=True)
class Columns:
    """What the columns of a table mean, by number."""

    path: int
    width: int
    heading: Sequence[str] | None
    """None where the first line is a row."""
    matched: float
    """Share of the sampled rows whose file is there."""
    labels: Sequence[int] = ()
    """Columns that may be the class, the likeliest first."""
    known: bool = False
    """Whether the first of them is called like one, or its caller named it."""
    one_hot: Sequence[int] = ()
    """Columns with a 1 for the class of a row."""
    split: int | None = None
    flag: Split | None = None
    """What a 1 in the column of splits says."""
    anchored: bool = True
    """Whether folders in the cells agree with those of the files."""
    ignored: Sequence[str] = field(default=())

    def name(self, column: int) -> str:
        return self.heading[column] if self.heading is not None and self.heading[column] else f"column {column + 1}"


def find_columns(
    table: Table, folder: str, index: PathIndex, labels_column: str | None, *, trusted: bool
) -> Columns | None:
    """None where no column names files that are there.

    Args:
        table: the table.
        folder: where it lies.
        index: of the images.
        labels_column: the heading that the caller has named.
        trusted: whether the file is called like a file of labels, so that it means images even where none is there.

    Raises:
        DatasetRejected: it has no column of that heading, or one heading twice.
    """
    sample = table.sample(_SAMPLE_ROWS)
    if table.is_json:
        sample = [(0, list(table.keys)), *sample]
    if not sample:
        return None
    width = max(len(cells) for _, cells in sample)
    if width > 5_000:
        return None
    heading = _heading(table, sample[0][1], sample[1:], index, folder)
    body = sample[1:] if heading is not None else sample
    path = _path_column(heading, body, width, index, folder)
    if path is None:
        if not trusted or heading is None:
            return None
        path = next((i for name in PATH_NAMES for i, head in enumerate(heading) if bare(head) == bare(name)), None)
        if path is None:
            return None
    found = [index.find(cells[path], folder) for _, cells in body if path < len(cells) and cells[path]]
    matched = sum(one.path is not None for one in found) / max(1, len(found))
    split, flag = _split_column(heading, body, path)
    others = [i for i in range(width) if i not in (path, split)]
    labels: Sequence[int]
    one_hot: list[int] = []
    if labels_column is not None:
        labels, known = (_asked(table, heading, labels_column),), True
    else:
        labels, known = _label_columns(table, heading, body, others)
        one_hot = [] if known else _one_hot(heading, body, others)
    used = {path, split, *labels[:1], *one_hot}
    ignored = [] if heading is None else [head for i, head in enumerate(heading) if head and i not in used]
    return Columns(
        path=path,
        width=width,
        heading=heading,
        matched=matched,
        labels=() if one_hot else labels,
        known=known,
        one_hot=one_hot,
        split=split,
        flag=flag,
        anchored=any(one.anchored and one.path is not None for one in found),
        ignored=ignored,
    )


def _heading(table: Table, first: list[str], rest: Sequence[Row], index: PathIndex, folder: str) -> list[str] | None:
    """The first line, unless it names a file as the others do."""
    if table.is_json:
        return list(first)
    if table.delimiter == " ":
        return None
    known = {bare(name) for name in (*PATH_NAMES, *LABEL_NAMES, *_SPLITS)}
    if any(bare(cell) in known for cell in first):
        return first
    if any(index.find(cell, folder).path is not None for cell in first if cell):
        return None
    there = any(index.find(cell, folder).path is not None for _, cells in rest[:50] for cell in cells if cell)
    return first if there or not rest else None


def _path_column(
    heading: Sequence[str] | None, body: Sequence[Row], width: int, index: PathIndex, folder: str
) -> int | None:
    best: tuple[float, int] | None = None
    for column in range(min(width, 200)):
        cells = [cells[column] for _, cells in body if column < len(cells) and cells[column]]
        if not cells or len(set(cells)) < 0.5 * len(cells):
            continue
        found = [index.find(cell, folder) for cell in cells]
        score = sum(
            _WEIGHTS.get(one.how, _NUMBER_WEIGHT if one.anchored else 0.0) for one in found if one.path is not None
        ) / len(cells)
        if heading is not None and bare(heading[column] if column < len(heading) else "") in map(bare, PATH_NAMES):
            score *= 1.2
        elif all(cell.isdigit() for cell in cells) and cells == [str(i + int(cells[0])) for i in range(len(cells))]:
            score *= 0.3  # a count of the rows
        if score > 0.05 and (best is None or score > best[0]):
            best = score, column
    return None if best is None else best[1]


def _split_column(heading: Sequence[str] | None, body: Sequence[Row], path: int) -> tuple[int | None, Split | None]:
    if heading is None:
        for column in range(max((len(cells) for _, cells in body), default=0)):
            values = {cells[column] for _, cells in body if column < len(cells) and cells[column]}
            if column != path and values and all(split_of(value) is not None for value in values):
                return column, None
        return None, None
    for name in (*_SPLITS, *_FLAGS):
        for column, head in enumerate(heading):
            if column == path or bare(head) != bare(name):
                continue
            cells = {cells[column] for _, cells in body if column < len(cells) and cells[column]}
            if name in _FLAGS and cells and {cell.lower() for cell in cells} <= _YES | _NO:
                return column, _FLAGS[name]
            if name not in _FLAGS and any(split_of(cell) is not None for cell in cells):
                return column, None
    return None, None


def _label_columns(
    table: Table, heading: Sequence[str] | None, body: Sequence[Row], others: Sequence[int]
) -> tuple[Sequence[int], bool]:
    """Columns that may be the class, and whether the first is called like one."""
    filled = [i for i in others if any(i < len(cells) and cells[i] for _, cells in body)]
    if heading is not None:
        by_name = {i: bare(heading[i]) for i in others if i < len(heading)}
        called = [i for name in LABEL_NAMES for i, head in by_name.items() if head == bare(name)]
        twice = [
            name for name, count in Counter(by_name.values()).items() if count > 1 and name in map(bare, LABEL_NAMES)
        ]
        if twice and called and by_name[called[0]] in twice:
            raise DatasetRejected(
                f"The first line of {table.file} is {','.join(heading)[:100]!r}: one heading stands there twice.",
                hint="Give each column its own heading.",
            )
        if called:
            first = called[0]
            # a name says more than its number
            texts = [i for i in called if not _are_numbers(body, i)]
            return (texts[0] if _are_numbers(body, first) and texts else first,), True
    if len(filled) == 1:
        return filled, heading is None
    sorted_out = [i for i in filled if _may_be_class(body, i)][:_MOST_CANDIDATES]
    return sorted_out, heading is None and len(sorted_out) == 1


def _may_be_class(body: Sequence[Row], column: int) -> bool:
    cells = [cells[column] for _, cells in body if column < len(cells) and cells[column]]
    values = set(cells)
    if not 2 <= len(values) <= max(2, len(cells) // 2):
        return False
    return not any(
        re.fullmatch(r"-?[0-9]*\.[0-9]+(e-?[0-9]+)?|[0-9]{4}-[0-9]{2}-[0-9]{2}.*|[\[{].*", v) for v in values
    )


def _are_numbers(body: Sequence[Row], column: int) -> bool:
    return all(re.fullmatch(r"-?[0-9.]*", cells[column]) for _, cells in body if column < len(cells))


def _one_hot(heading: Sequence[str] | None, body: Sequence[Row], others: Sequence[int]) -> list[int]:
    if heading is None:
        return []
    binary = [
        i
        for i in others
        if i < len(heading)
        and heading[i]
        and {cells[i].lower() for _, cells in body if i < len(cells)} <= {"0", "1", "0.0", "1.0", "", "true", "false"}
    ]
    if len(binary) < 2 or len(body) < 2:
        return []
    ones = [sum(is_one(cells[i]) for i in binary if i < len(cells)) for _, cells in body]
    return binary if any(ones) else []


def is_one(cell: str) -> bool:
    return cell.lower() in ("1", "1.0", "true")


def is_flagged(cell: str) -> bool:
    return cell.lower() in _YES


def _asked(table: Table, heading: Sequence[str] | None, labels_column: str) -> int:
    if heading is not None:
        for column, head in enumerate(heading):
            if head.strip() == labels_column.strip() or folded(head) == folded(labels_column):
                return column
    there = f"it has {named([head for head in heading if head], 20)}" if heading else "it has no headings"
    raise DatasetRejected(
        f"{table.file} has no column {labels_column!r}; {there}.", hint="Name one of its columns as `labels_column`."
    )


def bare(heading: str) -> str:
    return re.sub(r"[\W_]+", "", folded(heading))
