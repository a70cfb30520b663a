"""Problems of the service itself."""

from app.domain.errors.catalogue import TdmrError


class InternalError(
    TdmrError,
    code="internal_error",
    title="Internal error",
    status=500,
    example="The request could not be completed.",
):
    """The service failed; its log has the cause under the `request_id`."""


class StoreUnavailable(
    TdmrError,
    code="store_unavailable",
    title="A backing service is unavailable",
    status=503,
    example="The database does not answer.",
):
    """The database, the broker or the storage is unavailable."""


class CatalogEmpty(
    TdmrError,
    code="no_worker_yet",
    title="No training worker has registered yet",
    status=503,
    example="No training worker has registered yet.",
):
    """No training worker has registered yet, so there is no catalogue."""


class PredictionsBusy(
    TdmrError,
    code="predictions_busy",
    title="Too many concurrent predictions",
    status=503,
    example="Too many predictions are waiting.",
):
    """Too many predictions are running and waiting."""


class FileLost(
    TdmrError,
    code="file_lost",
    title="A stored file is lost",
    status=410,  # waiting does not bring it back, and clients ask again after a 5xx
    example="The file is no longer in the storage.",
):
    """The storage no longer has a file, or has other bytes than were stored in it. Trying again does not help."""


class ReportsBusy(
    TdmrError,
    code="reports_busy",
    title="Too many reports at once",
    status=503,
    example="Too many reports are being made.",
):
    """Too many report pages are being rendered and waiting."""


class TooManyConnections(
    TdmrError,
    code="too_many_connections",
    title="Too many connections",
    status=503,
    example="Your address has too many connections open.",
):
    """All connections that the service keeps open, or all of one address, are in use."""


class DiskFull(
    TdmrError,
    code="disk_full",
    title="The disk is full",
    status=507,
    example="The storage has no space left.",
):
    """The storage has no space left."""
