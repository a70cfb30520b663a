"""The JSON of data sets."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import Field

from app.api.schemas.common import A_SHA256, Failure
from app.db import models
from app.domain.base import Shown
from app.domain.dataset import LISTED_CLASSES, Understanding
from app.domain.sources import shown_url
from app.domain.states import DatasetState


class DatasetListed(Shown):
    """An archive of labelled images and the state of its import."""

    id: str = Field(description="Its id.", examples=["ds_01JCZ7Q5W3N0R8V6T4X2Y1A9BC"])
    object: Literal["dataset"] = "dataset"
    name: str = Field(description="As it was named, or its file's name.", examples=["digits.zip"])
    state: DatasetState = Field(
        description="A job needs a data set that is `ready`. One in `needs_answer` can be read in several ways: "
        "choose one with `POST /v1/datasets/{dataset_id}/layout`.",
        examples=["ready"],
    )
    progress: float = Field(
        description="Progress of the import, 0 to 1; the first half of it is the download of an archive that is "
        "fetched. Restarts if another worker takes over.",
        examples=[1.0],
    )
    bytes: int = Field(
        description="Size of the archive; of one that is fetched, 0 until its server has told it or all has come.",
        examples=[1048576],
    )
    sha256: str | None = Field(
        description="SHA-256 of the archive; null until it has been fetched.", examples=[A_SHA256]
    )
    source_url: str | None = Field(
        description="The address that the archive is fetched from, without its query; null if it was uploaded.",
        examples=["https://example.com/images.zip"],
    )
    digest: str | None = Field(
        description="Digest of the content: equal for equal images, labels and splits.", examples=[A_SHA256]
    )
    class_count: int | None = Field(description="Number of classes; null until ready.", examples=[2])
    images: int | None = Field(description="Number of usable images; null until ready.", examples=[240])
    counts: dict[str, int] | None = Field(
        description="Number of images per split; null until ready.", examples=[{"train": 160, "val": 40, "test": 40}]
    )
    error: Failure | None = Field(description="Why it was rejected.")
    created_at: datetime = Field(description="When it was uploaded, or its address was sent.")
    updated_at: datetime = Field(description="When its state or progress last changed.")

    @classmethod
    def from_row(cls, dataset: models.Dataset, **more: Any) -> Self:
        summary = dataset.summary or {}
        return cls(
            id=dataset.id,
            name=dataset.name,
            state=dataset.state,
            progress=dataset.progress,
            bytes=dataset.bytes,
            sha256=dataset.sha256 or None,
            source_url=None if dataset.source_url is None else shown_url(dataset.source_url),
            digest=dataset.digest,
            class_count=summary.get("class_count"),
            images=summary.get("images"),
            counts=summary.get("counts"),
            error=Failure.model_validate(dataset.error) if dataset.error else None,
            created_at=dataset.created_at,
            updated_at=dataset.updated_at,
            **more,
        )


class DatasetRead(DatasetListed):
    """A data set with its classes."""

    layout: Understanding | None = Field(
        description="How the archive was read, with the evidence and what else it could have been. In the state "
        "`needs_answer` its `readings` are those to choose from with `POST /v1/datasets/{dataset_id}/layout`. Null "
        "until the import has ended, if it was rejected, and for data sets that an earlier version imported."
    )
    classes: list[str] | None = Field(
        description=f"The first {LISTED_CLASSES} class names in the order of the student's outputs; null until ready. "
        "`GET /v1/datasets/{dataset_id}/classes` lists all `class_count` of them.",
        examples=[["cat", "dog"]],
    )

    @classmethod
    def from_row(cls, dataset: models.Dataset, **more: Any) -> Self:
        layout = None if dataset.layout is None else Understanding.model_validate(dataset.layout)
        return super().from_row(dataset, layout=layout, **more)


class DatasetClassRead(Shown):
    """A class of a data set."""

    object: Literal["class"] = "class"
    index: int = Field(description="Its place among the student's outputs, from 0; pass the last one as `after`.")
    name: str = Field(description="As the archive names it.", examples=["cat"])
    counts: dict[str, int] = Field(description="Number of labelled images per split.", examples=[{"train": 80}])

    @classmethod
    def from_row(cls, row: models.DatasetClass) -> Self:
        return cls(index=row.number, name=row.name, counts={"train": row.train, "val": row.val, "test": row.test})
