"""What a teacher that has seen a data set thinks of it: `data_review.json`, a file of a job."""

from pydantic import Field

from app.domain.base import Frozen
from app.domain.dataset import Split

REVIEW_NAME = "data_review.json"


class Suspect(Frozen):
    """An image whose label is likely wrong."""

    path: str
    """As the user named it."""
    split: Split
    label: str
    suggested: str
    sure: float = Field(ge=0, le=1)
    """How sure whoever judged it is of `suggested`."""
    picture: str
    """A small JPEG in base64."""


class Outlier(Frozen):
    """An image that is far from all others."""

    path: str
    split: Split
    label: str
    distance: float
    """Mean cosine distance to its nearest neighbours."""
    typical: float
    """The median of that distance over its class."""
    picture: str


class DataReview(Frozen):
    """Likely label errors and outliers among the labelled images, the likeliest first."""

    version: int = 1
    teacher: str
    method: str
    """How it was judged, in a sentence."""
    images: int
    """That were judged."""
    suspects: tuple[Suspect, ...]
    suspects_total: int
    """All; `suspects` lists at most the first 60."""
    outliers: tuple[Outlier, ...]
    """At most 24."""
