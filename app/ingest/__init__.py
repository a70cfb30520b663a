"""From an uploaded archive to a prepared data set. Runs in a process of its own: what it reads is hostile until shown
otherwise."""

from app.ingest.importer import import_archive
from app.ingest.limits import Limits
from app.ingest.prepared import unpack_prepared

__all__ = ["Limits", "import_archive", "unpack_prepared"]
