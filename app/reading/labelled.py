"""A reading from a list of files and labels, as the export of a labelling tool holds it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.domain.dataset import Reason, Split
from app.domain.placement import Placement
from app.reading.context import Context
from app.reading.listing import folder_of, stem_of
from app.reading.paths.matching import EXACT, SEVERAL, Found
from app.reading.paths.split_folders import table_splits
from app.reading.reading import Reading, Refusal, Strength, named
from app.reading.words import is_unlabelled, split_of, splits_of

MAX_LABEL_BYTES = 255
_LEAST_SINGLE = 0.98
"""Share of the images with one label at most, below which the export is taken for one of several labels each."""


@dataclass(frozen=True, slots=True)
class Item:
    """One image of an export."""

    cell: str
    """Its path, name or id there."""
    labels: tuple[str, ...]
    """Different ones; none: unlabelled."""
    file: str
    """The file of the export that tells it."""
    split: Split | None = None


def labelled_reading(  # noqa: PLR0912, PLR0915 one pass over the items
    context: Context,
    id: str,
    format: str,
    items: Iterable[Item],
    *,
    boxes: bool = False,
    notes: Sequence[str] = (),
    warnings: Sequence[str] = (),
) -> Reading | Refusal | None:
    """None where it names no image of the archive.

    Args:
        context: the archive.
        id: of the reading.
        format: `COCO`, for sentences.
        items: its images.
        boxes: whether the labels are those of boxes or shapes in the images.
        notes: evidence.
        warnings: loud.
    """
    index = context.index
    listed = list(items)
    files = sorted({item.file for item in listed})
    several = [item for item in listed if len(item.labels) > 1]
    if several and (boxes or len(several) > (1 - _LEAST_SINGLE) * len(listed)):
        return _several(format, files, several, len(listed), boxes=boxes)
    by_file = _splits_of_files(files)
    split_of_file = table_splits(files, context.listing.root)
    placed: dict[str, Placement] = {}
    kept: dict[tuple[Split, str | None], Placement] = {}
    skipped: dict[str, Reason] = {}
    missing: list[tuple[str, Found]] = []
    how: Counter[str] = Counter()
    for item in listed:
        found = index.find(item.cell, folder_of(item.file), None if item.split else split_of_file.get(item.file))
        if found.how == SEVERAL and item.split:
            found = index.find(item.cell, folder_of(item.file), item.split)
        if found.path is None:
            missing.append((item.cell, found))
            continue
        how[found.how] += 1
        if len(item.labels) > 1:
            skipped[found.path] = Reason("has several labels", f"has several labels in {item.file}")
            continue
        label = item.labels[0].strip() if item.labels else ""
        if (
            not label
            or is_unlabelled(label)
            or not label.isprintable()
            or len(label.encode(errors="replace")) > MAX_LABEL_BYTES
        ):
            key: tuple[Split, str | None] = (Split.UNLABELLED, None)
        else:
            key = (item.split or by_file.get(item.file) or Split.TRAIN, label)
        before = placed.get(found.path)
        if before is not None and before.label not in (None, key[1]) and key[1] is not None:
            skipped[found.path] = Reason("has several labels", f"has several labels in {item.file}")
        if before is None or before.label is None:
            placed[found.path] = kept.setdefault(key, Placement(*key))
    for path in skipped:
        placed.pop(path, None)
    if not placed or len(missing) > len(placed):
        if not missing:
            return None
        return _not_found(context, format, files, missing, len(listed))
    for path in context.listing.images:
        if path not in placed and path not in skipped:
            if any(is_unlabelled(folder) for folder in path.split("/")[:-1]):
                placed[path] = Placement(Split.UNLABELLED, None)
            else:
                skipped[path] = index.aside(path) or Reason(f"is not named in {' or '.join(files[:2])}")
    blank = sum(placement.label is None for placement in placed.values())
    loud = [*warnings]
    if missing:
        some = "; ".join(f"{cell[:120]!r}{index.told(cell, found)}" for cell, found in missing[:10])
        loud.append(f"Images that {format} names and that were not found: {len(missing):,} ({some}). Pack them too.")
    if several:
        loud.append(f"Images with several labels, left out: {len(several)}.")
    if blank:
        loud.append(f"Images without a label in {format}: {blank:,}. They are used without one.")
    if boxes:
        loud.append(f"{format} labels boxes or shapes; each image has one kind of them, which was taken for its class.")
    splits = (
        named(
            sorted(
                {
                    stem_of(file) if split_of(stem_of(file)) else folder_of(file).rstrip("/").rpartition("/")[2]
                    for file in by_file
                }
            )
        )
        if by_file
        else None
    )
    if splits is None and any(item.split for item in listed):
        splits = f"the export ({format})"
    return Reading(
        id=id,
        source=f"{format} ({named(files, 3)})",
        placements=placed,
        strength=Strength.EXPLICIT,
        splits=splits,
        skipped=skipped,
        evidence=[
            f"{len(placed):,} of {len(context.listing.images):,} images are named in {named(files, 3)}.",
            *(f"Images matched by {kind}: {count:,}." for kind, count in how.most_common() if kind != EXACT),
            *notes,
        ],
        warnings=loud,
        used=frozenset(files),
    )


def _not_found(
    context: Context, format: str, files: Sequence[str], missing: Sequence[tuple[str, Found]], total: int
) -> Refusal:
    ambiguous = [one for one in missing if one[1].how == SEVERAL]
    usual = len(ambiguous) > len(missing) / 2
    cell, found = (ambiguous if usual else missing)[0]
    fact, hint = (
        ("are there more than once", "Give each image with its folder, so that it means one file.")
        if usual
        else ("are not there", "Pack the images together with the export.")
    )
    return Refusal(
        format,
        f"{len(missing):,} of {total:,} images that {named(files, 3)} ({format}) names {fact}, such as "
        f"{cell[:120]!r}{context.index.told(cell, found)}.",
        hint,
        Strength.CLEAN,
        frozenset(files),
    )


def _several(format: str, files: Sequence[str], several: Sequence[Item], total: int, *, boxes: bool) -> Refusal:
    first = several[0]
    what = "has boxes or shapes of several classes in an image" if boxes else "has several labels for an image"
    return Refusal(
        format,
        f"{format} {what}: {len(several):,} of {total:,} images, such as {first.cell[:120]!r} with "
        f"{named(sorted(first.labels), 4)}. A classifier knows one class per image.",
        "Cut the boxes out and sort them into one folder per class."
        if boxes
        else "Keep one label per image, or make one data set for each question.",
        files=frozenset(files),
    )


def _splits_of_files(files: Sequence[str]) -> dict[str, Split]:
    """Splits that the names of the files tell, or of the folders that they lie in."""
    for names in ({f: stem_of(f) for f in files}, {f: folder_of(f).rstrip("/").rpartition("/")[2] for f in files}):
        called = splits_of(names.values())
        found = {file: called[name] for file, name in names.items() if name in called}
        if len(found) == len(files) and Split.TRAIN in found.values():
            return found
    return {}
