"""The records among a job's published files: what a page shows of them. Any may be missing, and nothing fails for
that: a job that another version ran has left other files."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from app.db.models import Artifact
from app.domain.errors import TdmrError
from app.domain.manifest import Manifest
from app.domain.model_selection import Comparison
from app.services.artifacts import stored
from app.storage import published
from app.storage.blobs import Blobs

MAX_BYTES = 8 * 2**20
"""A larger record is none of ours."""
MANIFEST, COMPARISON = "manifest.json", "comparison.json"

Record = TypeVar("Record", bound=BaseModel)
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JobFiles:
    """The published files of a job by name, and the storage that has them."""

    blobs: Blobs
    by_name: Mapping[str, Artifact]

    def manifest(self, prefix: str) -> Manifest | None:
        """Of the student whose files begin with `prefix`."""
        return self._read(prefix + MANIFEST, Manifest)

    def comparison(self) -> Comparison | None:
        return self._read(COMPARISON, Comparison)

    def _read(self, name: str, kind: type[Record]) -> Record | None:
        artifact = self.by_name.get(name)
        if artifact is None or artifact.bytes > MAX_BYTES:
            return None
        try:
            return kind.model_validate_json(published.read_whole(self.blobs, stored(artifact)))
        except (TdmrError, ValidationError):
            log.warning("%s of %s cannot be read", name, artifact.job_id, exc_info=True)
            return None
