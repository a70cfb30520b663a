"""What was understood, in sentences."""

from collections import Counter
from collections.abc import Sequence

from app.domain.dataset import OfferedReading, Split, Understanding
from app.domain.layout import Layout
from app.reading.choose import Choice
from app.reading.reading import Reading

LISTED_CLASSES = 20
MAX_LISTED = 30
_MAX_SENTENCE = 1_500


def understood(
    choice: Choice, layout: Layout | None = None, notes: Sequence[str] = (), more: str = ""
) -> Understanding:
    """
    Args:
        choice: what was chosen, or is to be.
        layout: what came of it once every image was decoded; None where that is not known yet.
        notes: sentences about how the archive itself was read.
        more: ends the sentence.
    """
    reading = choice.reading
    differing = (reading, *choice.others)
    if choice.asks:
        each = [f"{_counted(len(one.classes))} from {one.source} ({one.id})" for one in differing]
        sentence = (
            f"{len(each)} readings are possible: {'; or '.join(each)}. Choose one."
            if len(each) > 1
            else f"It may be {each[0]}. Confirm it if that is meant."
        )
    else:
        sentence = _sentence(reading, layout).removesuffix(".") + more + "."
    return Understanding(
        sentence=sentence[:_MAX_SENTENCE],
        reading=reading.id,
        evidence=_listed([*reading.evidence, *notes]),
        ignored=_listed(choice.ignored),
        warnings=_listed(choice.warnings),
        readings=tuple(map(_offered, differing)),
    )


def _sentence(reading: Reading, layout: Layout | None = None) -> str:
    count = len(reading.classes) if layout is None else len(layout.classes)
    lost = len(reading.classes) - count
    gone = f" ({lost} more {'is' if lost == 1 else 'are'} lost)" if lost > 0 else ""
    return f"{_counted(count)}{gone} from {reading.source}{_splits(reading, layout)}."


def _splits(reading: Reading, layout: Layout | None) -> str:
    """Which splits there are, and which of them the archive gives."""
    given = {placement.split for placement in reading.placements.values()} - {Split.UNLABELLED}
    told = reading.splits is not None and given != {Split.TRAIN}
    drawn = ""
    if layout is not None and "stratified" in layout.split_source:
        drawn = layout.split_source.removeprefix("given; ")
    if told:
        return f", splits from {reading.splits}" + (f"; {drawn}" if drawn else "")
    if drawn:
        return f", splits drawn ({drawn})"
    return "" if layout is None else ", without splits"


def _counted(count: int) -> str:
    return f"{count:,} {'class' if count == 1 else 'classes'}"


def _offered(reading: Reading) -> OfferedReading:
    counts = Counter(placement.split for placement in reading.placements.values())
    return OfferedReading(
        id=reading.id,
        sentence=_sentence(reading),
        class_count=len(reading.classes),
        classes=tuple(reading.classes[:LISTED_CLASSES]),
        counts={split: counts[split] for split in Split if counts[split]},
        evidence=_listed(reading.evidence),
    )


def _listed(sentences: Sequence[str]) -> tuple[str, ...]:
    return tuple(sentence[:_MAX_SENTENCE] for sentence in sentences[:MAX_LISTED])
