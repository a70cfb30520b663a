"""What was lost on the way, which a person must hear first: classes without a usable image, empty class folders, hidden
folders."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from app.domain.dataset import Reason
from app.domain.placement import Placement
from app.ingest.listed import Listed
from app.reading.listing import folder_of, name_of
from app.reading.reading import Reading, named
from app.reading.words import ROLES, folded, is_unlabelled, split_of


def loss_warnings(
    listed: Listed, reading: Reading, placed: Mapping[str, Placement], skipped: Mapping[str, Reason]
) -> list[str]:
    """The gravest first.

    Args:
        listed: what is in the archive.
        reading: how it was read.
        placed: the usable images.
        skipped: reasons, by path.
    """
    return [*_lost_classes(reading, placed, skipped), *_hidden(listed), *_empty_folders(listed, reading)]


def _lost_classes(reading: Reading, placed: Mapping[str, Placement], skipped: Mapping[str, Reason]) -> Iterator[str]:
    kept = Counter(p.label for p in placed.values())
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    for path, placement in reading.placements.items():
        if placement.label is not None and path in skipped:
            reasons[placement.label][skipped[path].kind] += 1
    lost = [name for name in reading.classes if not kept[name]]
    for name in lost[:5]:
        kind, count = reasons[name].most_common(1)[0] if reasons[name] else ("no image", 0)
        yield (
            f"The class {name!r} is lost: none of its {reading.counts[name]:,} files is a usable image. "
            f"{count:,} of them: {kind}."
        )
    if len(lost) > 5:
        yield f"Lost in the same way: {named(lost[5:], 10)}."
    halved = [n for n in reading.classes if 0 < kept[n] < 0.5 * reading.counts[n] and reading.counts[n] > 3]
    for name in halved[:5]:
        kind, _ = reasons[name].most_common(1)[0] if reasons[name] else ("no image", 0)
        lost_files = reading.counts[name] - kept[name]
        yield f"The class {name!r} has lost {lost_files:,} of its {reading.counts[name]:,} files: {kind}."


def _hidden(listed: Listed) -> Iterator[str]:
    for folder, paths in sorted(listed.hidden.items())[:5]:
        yield (
            f"The hidden folder {folder!r} was left out with its {len(paths):,} images: names that begin with a "
            "dot are hidden. If it is a class, rename it."
        )
    if len(listed.hidden) > 5:
        yield f"{len(listed.hidden) - 5} more hidden folders hold images and were left out."


def _empty_folders(listed: Listed, reading: Reading) -> Iterator[str]:
    """Those that stand where the class folders stand; elsewhere they mean nothing."""
    if not reading.id.startswith("folders"):
        return
    beside = {folder_of(folder_of(path).rstrip("/")) for path, p in reading.placements.items() if p.label is not None}
    empty = [
        folder
        for folder in listed.listing.empty_folders
        if folder_of(folder) in beside
        and split_of(name_of(folder)) is None
        and not is_unlabelled(name_of(folder))
        and folded(name_of(folder)) not in ROLES
    ]
    if empty:
        yield f"Class folders without a file: {named(map(name_of, empty), 10)}. They are no classes of this data set."
