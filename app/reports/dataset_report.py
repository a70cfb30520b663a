"""The report of a data set as a page."""

import base64
import hashlib
from datetime import datetime
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from app.domain.base import Frozen
from app.domain.dataset import LISTED_COPIES, LISTED_GROUPS, DatasetReport, Preview, Split
from app.domain.review import DataReview
from app.reports import text

_TEMPLATE = "dataset_report.html"
LISTED_FILES = 200
"""Skipped files on the page; the JSON has more."""
_SPLITS = (Split.TRAIN, Split.VAL, Split.TEST)


class ReportedDataset(Frozen):
    """The data set that the report is about."""

    id: str
    name: str
    bytes: int
    """Of the uploaded archive, as is `sha256`."""
    sha256: str
    created_at: datetime


class Content(Frozen):
    """All that is on a page."""

    dataset: ReportedDataset
    report: DatasetReport
    preview: Preview | None
    """None where there are no thumbnails."""
    review: DataReview | None
    """None where no job has reviewed the labels."""


class ClassRow(Frozen):
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


def render(content: Content) -> str:
    """A complete HTML document, of a few megabytes at most whatever the data set has."""
    report = content.report.listed()
    preview = content.preview or Preview(examples={}, pictures={})
    return _ENVIRONMENT.get_template(_TEMPLATE).render(
        dataset=content.dataset,
        report=report,
        splits=_SPLITS,
        rows=_rows(report, preview),
        unlabelled=report.counts.get(Split.UNLABELLED, {}).get("", 0),
        unlabelled_examples=preview.examples.get("", ()),
        pictures=preview.pictures,
        review=content.review,
        listed_files=LISTED_FILES,
        listed_groups=LISTED_GROUPS,
        listed_copies=LISTED_COPIES,
    )


def render_json(content: bytes) -> bytes:
    """The same, from a `Content` as JSON: for a process that does nothing else."""
    return render(Content.model_validate_json(content)).encode()


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
        loader=PackageLoader("app.reports"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(
        visible=text.visible,
        shortened=text.shortened,
        path=text.path,
        sentence=text.sentence,
        size=text.size,
        number=text.number,
    )
    return environment


_ENVIRONMENT = _environment()


def _style_digest() -> str:
    """Of the template's style sheet, as a Content-Security-Policy names it."""
    template = files("app.reports").joinpath("templates", _TEMPLATE).read_text("utf-8")
    sheet = template.partition("<style>")[2].partition("</style>")[0]
    return f"sha256-{base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()}"


HEADERS = {
    # whatever a name might smuggle in, nothing on the page can run, call anywhere or dress it up
    "Content-Security-Policy": f"default-src 'none'; img-src data:; style-src '{_style_digest()}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept",
}
