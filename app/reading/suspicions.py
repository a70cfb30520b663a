"""What makes the classes of a reading doubtful, each with what to do."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator

from app.reading.reading import Reading, named, quoted
from app.reading.words import MASKS, ROLES, are_parts, folded, is_number, split_of

_ROLES = ROLES | MASKS
_MISSING = frozenset(("nan", "none", "null", "nil", "na", "n/a", "#n/a", "<na>", "undefined", "missing", "?", "-"))
"""What programs write where there is nothing."""
_OF_TABLES = ("table", "embedded")
"""How the ids of their readings begin."""
_BETWEEN = re.compile(r"(?<=[^\W_])[\s_-]+(?=[^\W_])")
"""Between words."""


def suspicions(reading: Reading, *, numbers_only: bool = False) -> list[str]:
    """Sentences, loud. With `numbers_only`, only whether its classes are bare numbers."""
    names = reading.classes
    if numbers_only:
        return list(_numbers(names))
    return [
        *_numbers(names),
        *_spelled(names),
        *_missing(reading),
        *_called_like_splits(names),
        *_called_like_roles(names),
    ]


def _numbers(names: list[str]) -> Iterator[str]:
    if names and all(map(is_number, names)):
        yield (
            f"Class names are bare numbers ({named(names, 4)}) and no file in the archive names them. If they stand "
            "for something, add a classes.txt with one name a line, or rename the classes."
        )


def _spelled(names: list[str]) -> Iterator[str]:
    for key, differ in (
        (_number, "are the same number"),
        (_words, "differ only by letter case, accents or spacing, or by invisible characters"),
    ):
        groups: dict[object, list[str]] = defaultdict(list)
        for name in names:
            if (value := key(name)) is not None:
                groups[value].append(name)
        twins = [group for group in groups.values() if len(group) > 1]
        if sum(map(_are_letters, twins)) > 1:  # a whole alphabet, where `a` and `A` are two
            twins = [group for group in twins if not _are_letters(group)]
        if twins:
            told = "; ".join(named(group) for group in twins[:5])
            yield (
                f"Class names that {differ}: {told}. They are different classes here; if they are one, spell them "
                "alike."
            )


def _are_letters(names: list[str]) -> bool:
    return all(len(name) == 1 and name.isalpha() for name in names)


def _number(name: str) -> int | None:
    return int(name.partition(".")[0]) if is_number(name) else None


def _words(name: str) -> str | None:
    """What is left when nothing counts that people spell now one way, now another. `A-` is a grade, and in most scripts
    what looks like an accent makes another letter: `か` and `が`."""
    if is_number(name):
        return None
    seen = "".join(c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c) != "Cf").strip()
    return _BETWEEN.sub(" ", _without_accents(seen.casefold()))


def _without_accents(name: str) -> str:
    kept: list[str] = []
    latin = False
    for character in unicodedata.normalize("NFD", name):
        if not unicodedata.combining(character):
            latin = "LATIN" in unicodedata.name(character, "")
        elif latin:
            continue
        kept.append(character)
    return unicodedata.normalize("NFC", "".join(kept))


def _missing(reading: Reading) -> Iterator[str]:
    """In tables, which programs write; a folder somebody has called so. `NA` is Namibia beside other codes of
    countries."""
    if not reading.id.startswith(_OF_TABLES):
        return
    names = reading.classes
    codes = any(re.fullmatch("[A-Z]{2}", name) for name in names if name != "NA")
    called = [name for name in names if folded(name) in _MISSING and not (name == "NA" and codes)]
    if called:
        yield (
            f"Classes that look like a missing value: {named(called)}. They are classes here; if their images have no "
            f"label, upload them again with `unlabelled_classes` = {quoted(','.join(called))}."
        )


def _called_like_splits(names: list[str]) -> Iterator[str]:
    called = [name for name in names if split_of(name) is not None]
    if called:
        yield f"Classes that are called like splits: {named(called)}. If they are splits, put them above the classes."


def _called_like_roles(names: list[str]) -> Iterator[str]:
    if are_parts(names):
        yield f"Classes that are called like parts of one whole: {named(names, 4)}. Are these really classes?"
    called = [name for name in names if folded(name) in _ROLES]
    if len(called) >= max(2, 0.5 * len(names)):  # else a word as any other: `mask` and `no_mask`
        yield f"Classes that are called like folders of files: {named(called)}. Are these really classes?"
