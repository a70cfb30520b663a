"""Names for classes that are numbers: many formats keep the names of their classes in another file."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml

from app.domain.placement import Placement
from app.reading.context import Context
from app.reading.listing import name_of, suffix_of
from app.reading.reading import Reading, quoted
from app.reading.tables import open_table
from app.reading.words import folded, is_number

_LISTS = re.compile(r"(class|label|categor|synset|name|wnid|breed|species)", re.IGNORECASE)
_MOST = 20_000
_FRONT_MATTER_BYTES = 2**17
_MOST_YAML = 20
_MAX_NAME_BYTES = 255
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Names:
    """Numbers and what they mean."""

    file: str
    by_number: Mapping[int, str]


def with_names(reading: Reading, context: Context) -> Reading:
    """The same reading, its numbers replaced by the names that a file gives for all of them."""
    if not reading.counts or not all(map(is_number, reading.counts)):
        return reading
    numbers = {name: int(float(name)) for name in reading.counts}
    found = [names for names in _all_names(context) if _fits(names, set(numbers.values()))]
    if not found:
        return reading
    first = found[0]
    kept: dict[Placement, Placement] = {}
    placed: dict[str, Placement] = {}
    for path, placement in reading.placements.items():
        if placement not in kept:
            label = placement.label
            kept[placement] = (
                placement if label is None else Placement(placement.split, first.by_number[numbers[label]])
            )
        placed[path] = kept[placement]
    told = [*reading.evidence, f"The numbers are named by {quoted(first.file)}."]
    loud = [*reading.warnings]
    if other := next((names for names in found if _differ(first, names, set(numbers.values()))), None):
        loud.append(
            f"{quoted(first.file)} and {quoted(other.file)} name the classes differently; the first one was taken."
        )
    return replace(reading, placements=placed, evidence=told, warnings=loud, used=reading.used | {first.file})


def _fits(names: Names, numbers: set[int]) -> bool:
    if not numbers <= names.by_number.keys():
        return False
    called = {names.by_number[n] for n in numbers}
    return len(called) == len(numbers) and all(map(_is_name, called))


def _is_name(name: str) -> bool:
    return bool(name.strip()) and name.isprintable() and len(name.encode()) <= _MAX_NAME_BYTES


def _differ(one: Names, other: Names, numbers: set[int]) -> bool:
    return any(folded(one.by_number[n]) != folded(other.by_number[n]) for n in numbers)


def _all_names(context: Context) -> Iterator[Names]:
    """The surest first: what says by itself which number it names."""
    headings = 0
    for file in context.shallow:
        if suffix_of(file) == ".json":
            for by_number in _of_json(context.document(file)):
                yield Names(file, by_number)
        elif suffix_of(file) in (".md", ".yaml", ".yml") and headings < _MOST_YAML:
            headings += 1
            for by_number in _of_yaml(context.text(file) or ""):
                yield Names(file, by_number)
    for file in context.shallow:
        if suffix_of(file) in (".csv", ".tsv", ".txt", ".names", ".pbtxt", ""):
            yield from _of_list(file, context)


def _of_json(document: object) -> Iterator[dict[int, str]]:
    """`{"0": "cat"}`, `{"cat": 0}`, `{"id2label": …}`, `["cat", …]`, and the features of a `dataset_info.json`."""
    if isinstance(document, list) and document and all(isinstance(one, str) for one in document[:_MOST]):
        yield dict(enumerate(document[:_MOST]))
    if not isinstance(document, dict):
        return
    for inner in (document, document.get("id2label"), document.get("label2id"), document.get("names")):
        by_number = _of_mapping(inner)
        if by_number:
            yield by_number
    for key in ("classes", "class_names", "names", "labels", "categories"):
        inner = document.get(key)
        if isinstance(inner, list) and inner and all(isinstance(one, str) for one in inner):
            yield dict(enumerate(inner))
    yield from _of_features(document, 0)


def _of_mapping(inner: object) -> dict[int, str]:
    if not isinstance(inner, dict) or not inner or len(inner) > _MOST:
        return {}
    if all(
        isinstance(key, str | int) and is_number(str(key)) and isinstance(value, str) for key, value in inner.items()
    ):
        return {int(float(key)): value.strip() for key, value in inner.items()}
    if all(isinstance(value, int) and not isinstance(value, bool) for value in inner.values()):
        return {value: str(key).strip() for key, value in inner.items()}
    return {}


def _of_features(inner: object, depth: int) -> Iterator[dict[int, str]]:
    """Hugging Face's ClassLabel, in the form of `dataset_info.json` or of a README's heading."""
    if depth > 8:
        return
    if isinstance(inner, dict):
        label = inner.get("class_label")
        names = label.get("names") if isinstance(label, dict) else None
        if names is None and inner.get("_type") == "ClassLabel":
            names = inner.get("names")
        if isinstance(names, list):
            yield {number: str(name) for number, name in enumerate(names[:_MOST])}
        elif isinstance(names, dict):
            yield _of_mapping({str(key): str(value) for key, value in names.items()})
        for value in list(inner.values())[:200]:
            yield from _of_features(value, depth + 1)
    elif isinstance(inner, list):
        for value in inner[:200]:
            yield from _of_features(value, depth + 1)


def _of_yaml(text: str) -> Iterator[dict[int, str]]:
    """The heading of a Hugging Face README, or a `data.yaml`."""
    if text.startswith("---"):
        text = text[3:].partition("\n---")[0]
    if len(text) > _FRONT_MATTER_BYTES or ("names" not in text and "class" not in text) or "&" in text:
        return  # no anchors, which could grow without end
    try:
        document: Any = yaml.load(text, _LOADER)  # noqa: S506 a safe one
    except (yaml.YAMLError, RecursionError, ValueError):
        return
    yield from _of_json(document)


def _of_list(file: str, context: Context) -> Iterator[Names]:
    """`classes.txt` with a name a line, or a number and a name; or a table of two such columns."""
    text = context.text(file)
    if text is None or len(text) > 2**22:
        return
    lines = [line.strip() for line in text.splitlines()[: _MOST + 1] if line.strip()]
    if not lines or len(lines) > _MOST:
        return
    if suffix_of(file) == ".pbtxt":
        found = re.findall(r"""id:\s*(\d+)\s+(?:display_)?name:\s*["'](.+?)["']""", text)
        yield Names(file, {int(number): name for number, name in found})
        return
    numbered = [re.fullmatch(r"(-?[0-9]{1,9})\s*[:,;\t ]\s*(\S.*)", line) for line in lines]
    if all(numbered):
        yield Names(file, {int(m[1]): m[2].strip().strip("\"'") for m in numbered if m})
    elif all(m is not None for m in numbered[1:]) and len(lines) > 2 and suffix_of(file) in (".csv", ".tsv"):
        yield Names(file, {int(m[1]): m[2].strip().strip("\"'") for m in numbered[1:] if m})
    elif _LISTS.search(name_of(file)) or suffix_of(file) == ".names":
        table = open_table(file, text)
        rows = [cells for _, cells in table.sample(_MOST)] if table and table.delimiter in (",", ";", "\t") else []
        by_number = _of_rows(rows)
        if by_number:
            yield Names(file, by_number)
        elif not any(re.search(r"\.(jpe?g|png)\b", line, re.IGNORECASE) for line in lines[:20]):
            names = [line.partition("\t")[0].strip() for line in lines]
            yield Names(file, dict(enumerate(names)))
            yield Names(file, dict(enumerate(names, start=1)))


def _of_rows(rows: list[list[str]]) -> dict[int, str]:
    """Of two columns, one with numbers that all differ, one with names."""
    body = rows[1:] if rows and not any(is_number(cell) for cell in rows[0]) else rows
    if not body or min(map(len, body)) < 2:
        return {}
    columns = list(zip(*(cells[:6] for cells in body), strict=False))
    numbers = next((c for c in columns if all(map(is_number, c)) and len(set(c)) == len(c)), None)
    names = next((c for c in columns if not any(map(is_number, c)) and len(set(c)) == len(c)), None)
    if numbers is None or names is None:
        return {}
    return {int(float(number)): name for number, name in zip(numbers, names, strict=True)}
