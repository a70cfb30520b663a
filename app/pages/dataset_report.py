"""The report of a data set as a page."""

from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from app.db.models import Dataset
from app.domain.dataset import LISTED_COPIES, LISTED_GROUPS, DatasetReport, Preview, Split
from app.domain.review import DataReview
from app.pages import text

HEADERS = {
    # whatever a name might smuggle in, nothing on the page can run or call anywhere
    "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept",
}
LISTED_FILES = 200
"""Skipped files on the page; the JSON has more."""
_SPLITS = (Split.TRAIN, Split.VAL, Split.TEST)


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class in the table of counts."""

    name: str
    counts: dict[Split, int]
    shares: dict[Split, float]
    """Width of each part of its bar, in percent of the largest class."""
    examples: tuple[str, ...]
    """Paths that have a picture."""

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def render(dataset: Dataset, report: DatasetReport, preview: Preview | None, review: DataReview | None) -> str:
    """A complete HTML document.

    Args:
        preview: None where there are no thumbnails.
        review: None where no job has looked at the data set.
    """
    preview = preview or Preview(examples={}, pictures={})
    return _ENVIRONMENT.get_template("dataset_report.html").render(
        dataset=dataset,
        report=report,
        splits=_SPLITS,
        rows=_rows(report, preview),
        unlabelled=report.counts.get(Split.UNLABELLED, {}).get("", 0),
        unlabelled_examples=preview.examples.get("", ()),
        pictures=preview.pictures,
        review=review,
        listed_files=LISTED_FILES,
        listed_groups=LISTED_GROUPS,
        listed_copies=LISTED_COPIES,
    )


def _rows(report: DatasetReport, preview: Preview) -> list[ClassRow]:
    found = {name: {split: report.counts.get(split, {}).get(name, 0) for split in _SPLITS} for name in report.classes}
    largest = max((sum(counts.values()) for counts in found.values()), default=1)
    return [
        ClassRow(
            name=name,
            counts=counts,
            shares={split: round(100 * count / max(largest, 1), 2) for split, count in counts.items()},
            examples=preview.examples.get(name, ()),
        )
        for name, counts in found.items()
    ]


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("app.pages"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(
        visible=text.visible, path=text.path, sentence=text.sentence, size=text.size, number=text.number
    )
    return environment


_ENVIRONMENT = _environment()
