"""What a page about a data set shows besides its report. All of it may be missing, and nothing fails for that."""

import logging
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from sqlalchemy.orm import Session

from app.db.models import Dataset
from app.db.queries.jobs import newest_file_about
from app.domain.dataset import Preview
from app.domain.review import REVIEW_NAME, DataReview
from app.storage.blobs import Blobs
from app.storage.keys import preview_key

MAX_BYTES = 32 * 2**20
"""A larger file is none of ours."""

Content = TypeVar("Content", bound=BaseModel)

log = logging.getLogger(__name__)


def find_preview(dataset: Dataset) -> str | None:
    """The key of its thumbnails; data sets that an early version imported have none in the storage."""
    return None if dataset.prepared_key is None else preview_key(dataset.prepared_key)


def find_review(session: Session, dataset: Dataset) -> str | None:
    """The key of what the teacher of the youngest job thought of it."""
    file = newest_file_about(session, dataset.id, REVIEW_NAME)
    return None if file is None else file.storage_key


def preview(blobs: Blobs, key: str | None) -> Preview | None:
    return None if key is None else _read(blobs, key, Preview)


def review(blobs: Blobs, key: str | None) -> DataReview | None:
    return None if key is None else _read(blobs, key, DataReview)


def _read(blobs: Blobs, key: str, kind: type[Content]) -> Content | None:
    try:
        with blobs.open(key) as file:
            return kind.model_validate_json(file.read(MAX_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        log.warning("%s cannot be read", key, exc_info=True)
        return None
