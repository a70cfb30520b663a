"""Compare the readings of an archive and take one; or ask, where several are as likely and give different classes."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.domain.dataset import Split
from app.domain.errors import DatasetRejected
from app.domain.layout import HOW_TO_LAY_OUT
from app.domain.placement import Placement
from app.reading.class_names import with_names
from app.reading.context import Context
from app.reading.file_names import ID as BY_NAME
from app.reading.file_names import file_name_readings, with_named_files
from app.reading.formats import READERS
from app.reading.listing import is_junk, suffix_of
from app.reading.reading import Reading, Refusal, Strength, agree, named, quoted
from app.reading.splits import against_folders, with_listed_splits, with_splits_of
from app.reading.suspicions import suspicions
from app.reading.tables.readings import table_readings
from app.reading.tables.table import Table, is_table_name, open_table
from app.reading.united import united
from app.reading.unread import Unread, unread
from app.reading.words import is_unlabelled

log = logging.getLogger(__name__)

MAX_OFFERED = 6
_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".manifest", ".xlsx", ".xls", ".json", ".xml")
"""What may have told labels, so that a person should know that it was not used."""


_OTHER_CLASSES, _NO_CLASS = ": it gives other classes.", " tells a class."
_LEFT_OUT = ": the images that it labels are left out."
_LOUD = (_OTHER_CLASSES, _LEFT_OUT, _NO_CLASS)


@dataclass(frozen=True)
class Choice:
    """What was made of an archive."""

    reading: Reading
    others: Sequence[Reading] = ()
    """Further ways to read it that give other classes, the likelier first."""
    asks: bool = False
    """Whether a person has to say which one is meant; `reading` is then the likeliest."""
    ignored: Sequence[str] = ()
    """Sentences about files that could have told labels and were not used."""
    warnings: Sequence[str] = ()


def choose(context: Context, layout: str | None = None) -> Choice:
    """
    Args:
        context: the archive.
        layout: the id of the reading that is meant, or what it begins with, such as `folders`.

    Raises:
        DatasetRejected: there is no way to read it, and why.
    """
    readings, refusals = _read(context)
    readings = [_finished(reading, context) for reading in readings]
    if whole := united(readings, context):
        readings = [*whole, *readings]
    else:
        readings = [with_named_files(reading, context) for reading in readings]
    valid = _ranked([reading for reading in readings if reading.taught >= 2])
    if (layout or "").startswith(BY_NAME) or not (valid or refusals or _not_used(context, readings)):
        valid += [_finished(reading, context) for reading in file_name_readings(context)]
    if not valid:
        raise _unreadable(context, readings, refusals)
    if all(reading.strength is Strength.WEAK for reading in valid) and layout is None:
        strong = [refusal for refusal in refusals if refusal.strength is Strength.EXPLICIT]
        if strong:
            raise DatasetRejected(strong[0].detail, hint=strong[0].hint)
    if layout is not None:
        meant = [reading for reading in valid if _is_meant(reading, layout)]
        if not meant:
            return Choice(valid[0], valid[1:MAX_OFFERED], asks=True, warnings=[_unknown(layout, valid)])
        valid = meant + [reading for reading in valid if reading not in meant]
        exact = meant[0].id == layout or len(meant) == 1
    else:
        exact = False
    best = with_splits_of(_best(valid if layout is None else meant), readings)
    differing = _distinct(best, [r for r in valid if r is not best])
    pool = valid if layout is None else meant
    rivals = [] if exact else [r for r in differing if r.strength >= best.strength and r in pool]
    ignored = _ignored(context, best, readings, refusals)
    broken = [f"A file that looks like {name.replace('_', ' ')} could not be read as such." for name in context.broken]
    warnings = [*best.warnings, *context.notes(best.used), *suspicions(best), *broken]
    warnings += [*against_folders(best), *_partly(best, valid)]
    if not rivals and not exact:
        warnings += _alternatives(best, differing)
        warnings += [f"Not used: {told}" for told in ignored if told.endswith(_LOUD)][:5]
        warnings += _refused(best, refusals)
    asks = bool(rivals) or (layout is None and best.id.startswith(BY_NAME))
    return Choice(best, differing[: MAX_OFFERED - 1], asks, ignored, warnings)


def _read(context: Context) -> tuple[list[Reading], list[Refusal]]:
    found: list[Reading | Refusal] = []
    for reader in READERS:
        try:
            found += list(reader(context))
        except DatasetRejected:
            raise
        except Exception:  # a document of strangers may have any shape
            log.info("%s could not read this archive", reader.__module__, exc_info=True)
            context.broken.append(reader.__module__.rpartition(".")[2])
    tables = [table for file in sorted(context.shallow) if (table := _table(context, file)) is not None]
    found += table_readings(context, tables)
    if not context.listing.addresses:  # folders of web servers are nobody's classes
        found += context.folders
    return [f for f in found if isinstance(f, Reading)], [f for f in found if isinstance(f, Refusal)]


def _table(context: Context, file: str) -> Table | None:
    if not is_table_name(file) or suffix_of(file) == ".json" or is_junk(file):
        return None
    if suffix_of(file) == ".txt" and len(context.listing.texts) > 1_000 and len(context.listing.texts[file]) < 200:
        return None  # one of many captions
    text = context.text(file)
    return None if text is None else open_table(file, text, context.max_lines)


def _finished(reading: Reading, context: Context) -> Reading:
    """With names for numbers, listed splits, and without the classes that mean no label."""
    reading = with_names(reading, context)
    if context.unlabelled_classes:
        without = Placement(Split.UNLABELLED, None)
        placed = {
            path: without if p.label is not None and is_unlabelled(p.label, context.unlabelled_classes) else p
            for path, p in reading.placements.items()
        }
        reading = replace(reading, placements=placed)
    return with_listed_splits(reading, context)


def _ranked(readings: list[Reading]) -> list[Reading]:
    """The strongest first; what says little about the images is weaker than it looks."""
    most = max((reading.counts.total() for reading in readings), default=0)
    weighed = [
        replace(reading, strength=Strength(max(Strength.WEAK, reading.strength - 1)))
        if reading.counts.total() < 0.5 * most
        else reading
        for reading in readings
    ]
    return sorted(weighed, key=lambda reading: -reading.strength)


def _is_meant(reading: Reading, layout: str) -> bool:
    return reading.id == layout or reading.id.startswith(f"{layout}:") or reading.id.startswith(f"{layout}-")


def _best(ranked: Sequence[Reading]) -> Reading:
    """The strongest; of those that agree with it, one that names its classes, or tells the splits."""
    first = ranked[0]
    alike = [r for r in ranked if r.strength >= min(first.strength, Strength.CLEAN) and agree(first, r)]
    if suspicions(first, numbers_only=True):
        said = (r for r in alike if not r.id.endswith(":path") and not suspicions(r, numbers_only=True))
        first = next(said, first)
    if first.splits is None:
        first = next((r for r in alike if r.splits is not None and not suspicions(r, numbers_only=True)), first)
    return first


def _partly(best: Reading, others: Sequence[Reading]) -> list[str]:
    """Where a table leaves out images that lie in folders of the same classes: it may list corrections."""
    folders = next((r for r in others if r.id.startswith("folders") and agree(best, r)), None)
    left = 0 if folders is None else folders.counts.total() - best.counts.total()
    if left <= 0 or best.id.startswith("folders"):
        return []
    return [
        f"{named(sorted(best.used), 3)} names {best.counts.total():,} images; {left:,} more lie in folders of the same "
        "classes and are left out. Remove the table to use them all."
    ]


def _distinct(best: Reading, others: Sequence[Reading]) -> list[Reading]:
    """Those that give other classes than the best one and than each other."""
    kept = [best]
    for reading in others:
        if not any(agree(reading, one) and not _leaves_out_a_class(reading, one) for one in kept):
            kept.append(reading)
    return kept[1:]


def _leaves_out_a_class(one: Reading, other: Reading) -> bool:
    """Of two readings of folders, one takes for a class what for the other holds no images of a class."""
    return one.id.startswith("folders") and other.id.startswith("folders") and len(one.classes) != len(other.classes)


def _alternatives(best: Reading, differing: Sequence[Reading]) -> list[str]:
    """Loud where another reading is clean as well, though not as explicit."""
    clean = [r for r in differing if r.strength >= Strength.CLEAN]
    return [
        f"It could also be read as {len(r.classes)} classes from {r.source}: {named(r.classes)}. If that is meant, "
        f"upload it again with `layout` = {quoted(r.id)}."
        for r in clean[:2]
    ]


def _refused(best: Reading, refusals: Sequence[Refusal]) -> list[str]:
    return [
        f"Not used: {refusal.detail}"
        for refusal in refusals
        if not refusal.files & best.used and refusal.strength >= Strength.CLEAN
    ][:5]


def _ignored(context: Context, best: Reading, readings: Sequence[Reading], refusals: Sequence[Refusal]) -> list[str]:
    told: list[str] = []
    refused = {file for refusal in refusals for file in refusal.files if refusal.strength >= Strength.CLEAN}
    agreeing = {file for r in readings if r.used and agree(best, r) for file in r.used}
    other = {file for r in readings for file in r.used} - agreeing - context.listed_splits.keys()
    beside = {file for r in readings if r.used and not _share_nothing(best, r) for file in r.used}
    known = best.used | agreeing | other | refused
    not_understood = list(unread(context, known))
    told += [one.told for one in not_understood]
    known = best.used.union(*(one.files for one in not_understood))
    for file in sorted(context.listing.texts):
        if file in known:
            continue
        if file in context.ignored:
            told.append(f"{quoted(file)}: {context.ignored[file]}.")
        elif file in context.listed_splits:
            told.append(f"{quoted(file)}: it lists images of a split.")
        elif file in agreeing:
            told.append(f"{quoted(file)}: it gives the same classes.")
        elif file in other:
            told.append(f"{quoted(file)}{_OTHER_CLASSES if file in beside else _LEFT_OUT}")
        elif file not in refused and suffix_of(file) in _TABLES:
            told.append(f"{quoted(file)}: it names no images of the archive.")
    return told[:50]


def _share_nothing(one: Reading, other: Reading) -> bool:
    """Whether they label no image both."""
    labelled = (path for path, p in other.placements.items() if p.label is not None)
    return not any(path in one.placements and one.placements[path].label is not None for path in labelled)


def _unreadable(context: Context, readings: Sequence[Reading], refusals: Sequence[Refusal]) -> DatasetRejected:
    known = sorted(refusals, key=lambda refusal: -refusal.strength)
    if known:
        return DatasetRejected(known[0].detail, hint=known[0].hint)
    best = max(readings, key=lambda reading: (len(reading.classes), reading.counts.total()), default=None)
    if best is not None and best.classes and not best.taught:
        return DatasetRejected("There are no training images, only val or test.", hint="Add a train/ folder.")
    if best is None or not best.classes:
        none = "" if context.listing.images else "The archive holds no image. "
        seen = f" What looks like a split is no class: {best.splits}." if best is not None and best.splits else ""
        told = f"{none}The data set has no class; a classifier needs at least two.{seen}"
        return DatasetRejected(" ".join([told, *_not_used(context, readings)]), hint=HOW_TO_LAY_OUT)
    if len(best.classes) == 1:
        told = f"The data set has only one class, {best.classes[0]!r}; a classifier needs at least two."
        told = " ".join([told, *best.warnings[:2], *_not_used(context, readings)])
        return DatasetRejected(told, hint=HOW_TO_LAY_OUT)
    return DatasetRejected(
        f"Fewer than two of {len(best.classes)} classes have training images.",
        hint="Check that class names are spelled alike in train and test.",
    )


def _not_used(context: Context, readings: Sequence[Reading]) -> list[str]:
    """What a person may have meant as labels, the likeliest first, and why it tells none."""
    blank = {file: len(r.placements) for r in readings if not r.classes for file in sorted(r.used)}
    known = {file for reading in readings for file in reading.used}
    found = [
        Unread([file], f"{quoted(file)}: it names {count:,} images, and gives none of them a class.")
        for file, count in blank.items()
    ]
    found += unread(context, known, least=0)
    said = known.union(*(one.files for one in found))
    found += [Unread([f], f"{quoted(f)}: {why}.") for f, why in context.ignored.items() if f not in said]
    tables = [f for f in context.shallow if suffix_of(f) in _TABLES and f not in said | context.ignored.keys()]
    found += [Unread([file], f"{quoted(file)}: it names no images of the archive.") for file in tables]
    more = [f"And {len(found) - 3} more files."] if len(found) > 3 else []
    return [*(f"Not used: {one.told}" for one in found[:3]), *more]


def _unknown(layout: str, valid: Sequence[Reading]) -> str:
    return f"There is no reading {quoted(layout)} of this archive; it has {named([r.id for r in valid], 8)}."
