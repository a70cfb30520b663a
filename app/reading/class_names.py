"""Names for classes that are numbers: many formats keep the names of their classes in another file."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml

from app.domain.placement import Placement
from app.reading.context import Context
from app.reading.file_names import words_that_tell
from app.reading.listing import IMAGE_SUFFIXES, stem_of, suffix_of
from app.reading.reading import Reading, Strength, named, quoted
from app.reading.tables.columns import LABEL_NAMES, bare
from app.reading.tables.readings import is_submission
from app.reading.tables.table import open_table
from app.reading.words import folded, is_number


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CLASS_WORDS = _words(
    "class classes classname classnames label labels labelmap category categories synset synsets wnid wnids breed "
    "breeds species taxa taxon target targets id2label label2id id2class idx2label klassen clases categorias"
)
"""One of them in its name, and a file may be a list of names."""
_ALONE = _words("name names map mapping dict dictionary lookup legend key keys codes words index")
"""So it may where all of its name is of these: `name_map.csv`, but not `photographer_names.txt`."""
_HEADINGS = frozenset(map(bare, ("name", "names", "class_names", "classes", "labels", "categories", *LABEL_NAMES)))
_CLASS_HEADING = re.compile("class|label|categor|target|species|breed")
_BACKGROUND = _words("background bg none ignore void unknown other unlabeled unlabelled")
"""The class that many lists put first, as number 0, and that has no images of its own."""
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
    counted: bool = False
    """The file has no numbers: they count its lines."""


def with_names(reading: Reading, context: Context) -> Reading:
    """The same reading, its numbers replaced by the names that a file gives for all of them.

    A number without a name is a nuisance, a wrong name a wrong student: where a list may be counted in two ways, or
    two files differ, the numbers stay.
    """
    if not reading.counts or not all(map(is_number, reading.counts)):
        return reading
    numbers = {name: int(float(name)) for name in reading.counts}
    wanted = frozenset(numbers.values())
    files = [file for file in context.shallow if file not in reading.used and not is_submission(file)]
    found = [names for names in _all_names(context, files) if _fits(names, wanted)]
    found = [names for names in found if names.counted == found[0].counted]  # what says its numbers is surer
    if not found:
        return _named_by_files(reading)
    first = found[0]
    if other := next((names for names in found if _differ(first, names, wanted)), None):
        return replace(reading, warnings=[*reading.warnings, _doubt(first, other, wanted)])
    placed = _called(reading, {name: first.by_number[number] for name, number in numbers.items()})
    source = f"{reading.source}, named by {quoted(first.file)}"
    loud = list(reading.warnings)
    if first.counted and not _says_class(first.file):
        some = "; ".join(f"{name} is {quoted(first.by_number[n])}" for name, n in sorted(numbers.items())[:3])
        loud.append(
            f"{quoted(first.file)} has as many lines as there are classes and names them: {some}. Is that meant?"
        )
    return replace(reading, source=source, placements=placed, warnings=loud, used=reading.used | {first.file})


def _called(reading: Reading, names: Mapping[str, str]) -> dict[str, Placement]:
    kept = {p: p if p.label is None else Placement(p.split, names[p.label]) for p in set(reading.placements.values())}
    return {path: kept[placement] for path, placement in reading.placements.items()}


def _named_by_files(reading: Reading) -> Reading:
    """Where each number stands for one word in the names of its images, as Oxford's pets have it, that is its name: two
    who say the same are right."""
    told = words_that_tell([path for path, p in reading.placements.items() if p.label is not None])
    said: dict[str, set[str]] = {name: set() for name in reading.counts}
    for path, placement in reading.placements.items():
        if placement.label is not None:
            said[placement.label].add(told[path][0] if path in told else "")
    keys = {key for every in said.values() for key in every}
    if "" in keys or len(keys) != len(said) or any(len(every) > 1 for every in said.values()):
        return reading
    written = dict(told.values())
    names = {name: written[every.pop()] for name, every in said.items()}
    some = "; ".join(f"{number} is {quoted(name)}" for number, name in list(names.items())[:3])
    return replace(
        reading,
        source=f"{reading.source}, named by the names of the files",
        placements=_called(reading, names),
        strength=Strength(max(reading.strength, Strength.CLEAN)),
        evidence=[*reading.evidence, f"The names of the files divide the images alike: {some}."],
    )


def _doubt(first: Names, other: Names, numbers: frozenset[int]) -> str:
    some = sorted(numbers)[:3]
    said, also = (named([names.by_number[n] for n in some], 3) for names in (first, other))
    if first.file == other.file:
        return (
            f"The classes keep their numbers: {quoted(first.file)} has more names than there are classes, so the first "
            f"ones may be {said} or {also}. Write each number in front of its name there."
        )
    return (
        f"The classes keep their numbers: {quoted(first.file)} calls the first ones {said}, and {quoted(other.file)} "
        f"{also}. Leave one of the files out."
    )


def _fits(names: Names, numbers: frozenset[int]) -> bool:
    if not numbers <= names.by_number.keys():
        return False
    called = {names.by_number[n] for n in numbers}
    return len(called) == len(numbers) and all(map(_is_name, called))


def _is_name(name: str) -> bool:
    """Whether a class may be called so; a number, a date or a path is something else."""
    if not name.strip() or not name.isprintable() or len(name.encode()) > _MAX_NAME_BYTES:
        return False
    return not re.fullmatch(r"[-+]?[0-9.,]+(e[-+]?[0-9]+)?|[0-9]{4}-[0-9]{2}-[0-9]{2}.*", name) and (
        suffix_of(name) not in IMAGE_SUFFIXES
    )


def _differ(one: Names, other: Names, numbers: frozenset[int]) -> bool:
    return any(folded(one.by_number[n]) != folded(other.by_number[n]) for n in numbers)


def _all_names(context: Context, files: Sequence[str]) -> Iterator[Names]:
    """The surest first: documents that are made to name numbers, then lists that are called so."""
    headings = 0
    for file in files:
        if suffix_of(file) == ".json":
            for by_number in _of_json(context.document(file), listed=_names_classes(file)):
                yield Names(file, by_number)
        elif suffix_of(file) in (".md", ".yaml", ".yml") and headings < _MOST_YAML:
            headings += 1
            for by_number in _of_yaml(context.text(file) or ""):
                yield Names(file, by_number)
    for file in files:
        if suffix_of(file) in (".csv", ".tsv", ".txt", ".names", ".pbtxt", "") and _names_classes(file):
            yield from _of_list(file, context)


def _names_classes(file: str) -> bool:
    """Whether a file is called like one of names of classes: `classes.txt`, `label_map.pbtxt`, `obj.names`."""
    words = _words_of(file)
    return _says_class(file) or (bool(words) and words <= _ALONE)


def _says_class(file: str) -> bool:
    return suffix_of(file) == ".names" or bool(_words_of(file) & _CLASS_WORDS)


def _words_of(file: str) -> set[str]:
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", stem_of(file))
    return set(re.split(r"[\W_]+", folded(apart))) - {""}


def _of_json(document: object, *, listed: bool = True) -> Iterator[dict[int, str]]:
    """`{"0": "cat"}`, `{"cat": 0}`, `{"id2label": …}`, the features of a `dataset_info.json`, and where the file is
    called like one of names, also `["cat", …]`."""
    if listed and isinstance(document, list) and document and all(isinstance(one, str) for one in document[:_MOST]):
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
    """`classes.txt` with a name a line, or a number and a name; a table with two such columns; or a Python dict."""
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
    if lines[0].startswith("{"):
        for by_number in _of_yaml(f"names: {text}"):
            yield Names(file, by_number)
        return
    table = open_table(file, text)
    rows = [cells for _, cells in table.sample(_MOST)] if table and table.delimiter in (",", ";", "\t") else []
    if suffix_of(file) in (".csv", ".tsv") and rows and min(map(len, rows)) > 1:
        yield Names(file, _of_rows(rows))
        return
    lines = lines[1:] if bare(lines[0]) in _HEADINGS and len(lines) > 2 else lines
    numbered = [re.fullmatch(r"(-?[0-9]{1,9})\s*[:,;\t .)]\s*(\S.*)", line) for line in lines]
    if all(numbered):
        yield Names(file, {int(m[1]): m[2].strip().strip("\"'") for m in numbered if m})
    elif by_number := _of_rows(rows):
        yield Names(file, by_number)
    else:
        names = [line.partition("\t")[0].strip() for line in lines]
        yield Names(file, dict(enumerate(names)), counted=True)
        if folded(names[0]).strip("_") not in _BACKGROUND:
            yield Names(file, dict(enumerate(names, start=1)), counted=True)


def _of_rows(rows: list[list[str]]) -> dict[int, str]:
    """Of two columns, one with whole numbers that all differ, one with names; of several that one which is called like
    a class, else the first."""
    heading = rows[0] if rows and not any(is_number(cell) for cell in rows[0]) else []
    body = rows[1:] if heading else rows
    if not body or min(map(len, body)) < 2:
        return {}
    columns = list(zip(*(cells[:6] for cells in body), strict=False))
    numbers = _numbers_of(columns, heading)
    called = [i for i, cell in enumerate(heading[: len(columns)]) if bare(cell) in _HEADINGS]
    names = next(
        (c for c in [columns[i] for i in called] + columns if all(map(_is_name, c)) and len(set(c)) == len(c)), None
    )
    if numbers is None or names is None:
        return {}
    return {int(float(number)): name for number, name in zip(numbers, names, strict=True)}


def _numbers_of(columns: Sequence[tuple[str, ...]], heading: Sequence[str]) -> tuple[str, ...] | None:
    """The column of the classes' numbers; of several that differ, as where pandas wrote its index beside them, the one
    whose heading says so, else none."""
    found = {i: c for i, c in enumerate(columns) if all(map(is_number, c)) and len(set(c)) == len(c)}
    if len(set(found.values())) > 1:
        found = {i: c for i, c in found.items() if i < len(heading) and _CLASS_HEADING.search(folded(heading[i]))}
    return next(iter(found.values())) if len(set(found.values())) == 1 else None
