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


def joined_label(labels: Counter[str]) -> str | None:
    """A label that is made of others, where many are: `Effusion|Mass` beside `Effusion` and `Mass`."""
    for separator in _BETWEEN:
        several = [label for label in labels if separator in label]
        parts = Counter(part for label in several for part in _parts(label, separator))
        made = [s for s in several if all(part in labels or parts[part] > 1 for part in _parts(s, separator))]
        if _many(made, labels) and any(part in labels for part in parts):
            return made[0]
    for separator in _PERHAPS:
        made = [label for label in labels if separator in label and labels.keys() >= set(_parts(label, separator))]
        if _many(made, labels):
            return made[0]
    return None


def perhaps_joined(labels: Counter[str], heading: str) -> str | None:
    """A sentence, loud: where a part of a label is another's part too, under a heading such as `tags`; or where it is
    another label and no space stands between."""
    for separator in (*_BETWEEN, *_PERHAPS):
        several = [label for label in labels if len(_parts(label, separator)) > 1]
        parts = Counter(part for label in several for part in set(_parts(label, separator)))
        shared = [p for p, count in parts.most_common() if p in labels or (count > 1 and bare(heading) in PLURAL)]
        if bare(heading) not in PLURAL and separator not in "+&|;":
            continue
        some = [label for label in several if any(part in shared for part in _parts(label, separator))]
        if _many(some, labels):
            between = "spaces" if separator == " " else quoted(separator.strip())
            return (
                f"Labels such as {quoted(some[0])} may be several labels with {between} between them: "
                f"{quoted(shared[0])} stands in {parts[shared[0]]} of them. Each was taken as one class; a classifier "
                "knows one class per image."
            )
    return None


def _parts(label: str, separator: str) -> list[str]:
    return [part for part in map(str.strip, label.split(separator)) if part or separator in _BETWEEN]


def _many(some: list[str], labels: Counter[str]) -> bool:
    return sum(labels[label] for label in some) > _LEAST * labels.total()
