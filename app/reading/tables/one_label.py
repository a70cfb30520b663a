"""One label in brackets is one label: `["lemon"]`, `{"id": 0, "name": "lemon"}`, and what `str` made of such values."""

import ast
import json
import re
from collections.abc import Iterable
from typing import NamedTuple

from app.reading.tables.columns import bare
from app.reading.tables.table import as_text

_NAMES = (
    *("name", "label", "labelname", "tagname", "classname", "categoryname", "class", "category", "tag"),
    *("labels", "tags", "classes", "categories"),
)
"""Keys of an object that hold its label, the likelier first."""
_BOXES = frozenset({"bbox", "box", "boxes", "coordinates", "region", "polygon", "points", "segmentation"})
_MAX_CELL, _MAX_DEPTH = 4_096, 5
_BARE = re.compile(r"[\[{]\s*([^\s\[\]{}\"',;:|]+)\s*[\]}]")
"""One word in brackets: no list that JSON or Python would write, but what YAML and Postgres do."""
_SIDE_BY_SIDE = re.compile(r"""["']\s+["']""")
"""As numpy writes several texts; Python would read them as one."""


class Unwrapped(NamedTuple):
    """What a nested value says."""

    label: str | None
    """Empty: none; None: several, or what holds no label."""
    boxed: bool = False
    """Whether it is the label of a box or shape in the image."""


def is_nested(cell: str) -> bool:
    return len(cell) > 1 and cell[0] in "[{" and cell[-1] in "]}"


def unwrapped_cell(cell: str) -> Unwrapped:
    """Of a cell that `is_nested`."""
    if len(cell) > _MAX_CELL or _SIDE_BY_SIDE.search(cell):
        return Unwrapped(None)
    try:
        return unwrapped(json.loads(cell))
    except (ValueError, RecursionError):
        pass
    try:
        return unwrapped(ast.literal_eval(cell))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        word = _BARE.fullmatch(cell)
        return Unwrapped(None if word is None else word[1])


def unwrapped(value: object, depth: int = 0) -> Unwrapped:
    """Of a list, set or object, as JSON, Python or parquet hold it; several that are equal are one."""
    if depth > _MAX_DEPTH:
        return Unwrapped(None)
    if isinstance(value, dict):
        return _of_object({bare(str(key)): inner for key, inner in value.items()}, depth)
    if isinstance(value, list | tuple | set):
        return _of_several(value, depth)
    return Unwrapped(as_text(value)) if value is None or isinstance(value, str | int | float) else Unwrapped(None)


def _of_object(found: dict[str, object], depth: int) -> Unwrapped:
    if not found:
        return Unwrapped("")
    for name in _NAMES:
        if name in found:
            label, boxed = unwrapped(found[name], depth + 1)
            return Unwrapped(label, boxed or not _BOXES.isdisjoint(found))
    return Unwrapped(None)


def _of_several(values: Iterable[object], depth: int) -> Unwrapped:
    each = [unwrapped(value, depth + 1) for value in values]
    labels = {one.label for one in each}
    label = labels.pop() if len(labels) == 1 else None if labels else ""
    return Unwrapped(label, any(one.boxed for one in each))
