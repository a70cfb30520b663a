"""Several labels in one cell, with something between them."""

from collections import Counter

from app.reading.reading import quoted
from app.reading.tables.headings import PLURAL, bare

_LEAST = 0.02
"""Share of the images below which such labels are a slip."""
_BETWEEN = ("|", ";", ",")
"""These stand between labels even where no image has one of them alone."""
_PERHAPS = ("+", "&", "/", " and ", " ")
"""These also stand within names: only labels that others have alone are labels here too."""
_RARELY_IN_NAMES = ("|", ";", "+", "&")
_LEAST_MADE = 3
"""Different labels that are made of others."""


def joined_label(labels: Counter[str], heading: str) -> str | None:
    """A label that is made of others: `Effusion|Mass` beside `Effusion` and `Mass`. A single `black & white` may be a
    class of its own, so there are several of them, or the heading says that there may be."""
    least = 1 if bare(heading) in PLURAL else _LEAST_MADE
    for separator in (*_BETWEEN, *_PERHAPS):
        made = _made(labels, separator)
        if len(made) >= least and _many(made, labels):
            return made[0]
    return None


def perhaps_joined(labels: Counter[str], heading: str) -> str | None:
    """A sentence, loud: where a label is made of others; where a part of it is another's part too, under a heading
    such as `tags`; or where a part is another label and no space stands between."""
    for separator in (*_BETWEEN, *_PERHAPS):
        several = [label for label in labels if len(_parts(label, separator)) > 1]
        parts = Counter(part for label in several for part in set(_parts(label, separator)))
        shared = [p for p, count in parts.most_common() if p in labels or (count > 1 and bare(heading) in PLURAL)]
        some = [label for label in several if any(part in shared for part in _parts(label, separator))]
        if bare(heading) not in PLURAL and separator not in _RARELY_IN_NAMES:
            some = _made(labels, separator)
        if _many(some, labels):
            between = "spaces" if separator == " " else quoted(separator.strip())
            part = next(part for part in shared if part in _parts(some[0], separator))
            why = "is a label too" if part in labels else f"stands in {parts[part]} of them"
            return (
                f"Labels such as {quoted(some[0])} may be several labels with {between} between them: {quoted(part)} "
                f"{why}. Each was taken as one class; a classifier knows one class per image."
            )
    return None


def _made(labels: Counter[str], separator: str) -> list[str]:
    """Labels all of whose parts are other labels; or parts of several, between what seldom stands within a name."""
    several = [label for label in labels if len(_parts(label, separator)) > 1]
    if separator not in _BETWEEN:
        return [label for label in several if labels.keys() >= set(_parts(label, separator))]
    parts = Counter(part for label in several for part in _parts(label, separator))
    made = [s for s in several if all(part in labels or parts[part] > 1 for part in _parts(s, separator))]
    return made if any(part in labels for part in parts) else []


def _parts(label: str, separator: str) -> list[str]:
    return [part for part in map(str.strip, label.split(separator)) if part or separator in _BETWEEN]


def _many(some: list[str], labels: Counter[str]) -> bool:
    return sum(labels[label] for label in some) > _LEAST * labels.total()
