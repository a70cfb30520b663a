"""What is stored as the `error` of a data set or a job, and is never an HTTP answer."""

from app.domain.errors.catalogue import TdmrError


class DatasetRejected(TdmrError, code="dataset_rejected", title="The data set was rejected"):
    """The archive cannot become a data set."""


class SourceUnavailable(DatasetRejected, code="source_unavailable", title="The archive could not be fetched"):
    """The address does not answer, or answers with an error, and did so again and again."""


class SourceForbidden(SourceUnavailable, code="source_forbidden", title="The archive's server lets nobody in"):
    """The address is answered with 401 or 403: it needs a sign-in, or its signature has expired."""


class SourceNotFound(SourceUnavailable, code="source_not_found", title="There is no archive at this address"):
    """The address is answered with 404 or 410, or the bucket has no such object."""


class SourceNotAnArchive(
    SourceUnavailable, code="source_not_an_archive", title="The address leads to something else than an archive"
):
    """A page, a text or an error message came instead of an archive."""


class SourceTooLarge(SourceUnavailable, code="source_too_large", title="The archive at this address is too large"):
    """The archive has more bytes than this service accepts: as its server says, or as they were counted."""


class SourceTooSlow(SourceUnavailable, code="source_too_slow", title="The archive comes too slowly"):
    """The archive's server sends too little, or nothing any more."""


class SourceChanged(SourceUnavailable, code="source_changed", title="The archive changed while it was fetched"):
    """The address led to other bytes each time that an interrupted download was to be resumed."""


class ImportFailed(TdmrError, code="import_failed", title="The data set could not be checked"):
    """The import ended without a result; the archive itself may be fine."""


class TrainingFailed(TdmrError, code="training_failed", title="Training failed"):
    """Training could not finish."""


class NonFiniteLoss(TrainingFailed, code="non_finite_loss", title="The loss became NaN or infinite"):
    """A loss became NaN or infinite; the optimiser was not stepped."""


class WeightsUnavailable(TrainingFailed, code="weights_unavailable", title="The network's weights are unavailable"):
    """A network's weights could not be loaded, or do not match their card."""


class ModelNotBuildable(TrainingFailed, code="model_not_buildable", title="The network cannot be built as specified"):
    """timm cannot build this architecture at this input size."""


class ImageUnreadable(TrainingFailed, code="unreadable_image", title="An image of the data set cannot be read"):
    """An image of the prepared data set cannot be read."""


class ExportFailed(TrainingFailed, code="export_failed", title="The student could not be exported"):
    """The student cannot be written in a requested format."""


class ExportParityFailed(
    ExportFailed, code="export_parity_failed", title="An exported file disagrees with the trained student"
):
    """An exported file computes something other than the trained student. It is never published."""


class OutOfMemory(TrainingFailed, code="out_of_memory", title="The worker ran out of memory"):
    """The job needs more memory than the worker has."""


class LocalFilesLost(TrainingFailed, code="local_files_lost", title="The worker's local files are gone"):
    """Files of the job on its worker were deleted or cannot be read; another attempt begins without them."""


class WorkerLostRepeatedly(
    TrainingFailed, code="worker_lost_repeatedly", title="The job's workers were lost repeatedly"
):
    """Several attempts in a row ended without a message and without progress."""


class TimeLimitExceeded(TrainingFailed, code="time_limit_exceeded", title="The job exceeded the time limit"):
    """The job ran longer than this service allows."""
