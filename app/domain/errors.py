"""The error tree: each error is a fact. No HTTP in here; `app/api/errors.py` maps each to a status in one table."""

from typing import ClassVar


class TdmrError(Exception):
    """Something the user can know about. `detail` says what happened, `hint` what to do."""

    code: ClassVar[str] = "error"
    title: ClassVar[str] = "Something went wrong"

    def __init__(self, detail: str, *, hint: str | None = None, param: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint
        self.param = param

    def as_problem(self) -> dict[str, str | None]:
        """What is kept of it where a job or a data set failed: the words of an HTTP problem."""
        return {"code": self.code, "title": self.title, "detail": self.detail, "hint": self.hint}


class NotFound(TdmrError):
    """There is no such object, or it belongs to someone else."""

    code = "not_found"
    title = "Not found"


class Unauthorized(TdmrError):
    """The request carries no key, or one that is not known."""

    code = "unauthorized"
    title = "A valid API key is needed"


class Forbidden(TdmrError):
    """The key is valid but lacks the scope, or may not act for that tenant."""

    code = "forbidden"
    title = "This key may not do that"


class TooManyRequests(TdmrError):
    """Over a rate or a quota that waiting brings down again."""

    code = "rate_limited"
    title = "Too many requests"

    def __init__(self, detail: str, *, retry_after: float, hint: str | None = None) -> None:
        super().__init__(detail, hint=hint)
        self.retry_after = retry_after
        """Seconds after which trying again may help."""


class QueueQuotaExceeded(TooManyRequests):
    """The tenant has as many queued jobs as it may have."""

    code = "queue_quota_exceeded"
    title = "Too many queued jobs"


class MalformedRequest(TdmrError):
    """The request cannot be read at all."""

    code = "malformed_request"
    title = "The request cannot be read"


class UnsupportedMediaType(TdmrError):
    """The body is of a type that this route does not take."""

    code = "unsupported_media_type"
    title = "Unsupported media type"


class UploadTooLarge(TdmrError):
    """The upload is over the configured limit."""

    code = "too_large"
    title = "The upload is too large"


class BytesQuotaExceeded(UploadTooLarge):
    """The tenant's data sets would take more bytes than they may."""

    code = "bytes_quota_exceeded"
    title = "The quota of bytes is exceeded"


class UnusableImage(TdmrError):
    """What was sent is no image, a damaged one, or one that takes more than any image may."""

    code = "unusable_image"
    title = "The image cannot be used"


class UploadLocked(TdmrError):
    """Another request is writing to the upload."""

    code = "upload_locked"
    title = "The upload is in use"


class ChecksumMismatch(TdmrError):
    """The bytes of one request are not those that its checksum is of."""

    code = "checksum_mismatch"
    title = "The checksum does not match"


class UnsupportedTusVersion(TdmrError):
    """The request speaks another version of the tus protocol, or does not say which."""

    code = "unsupported_tus_version"
    title = "This version of tus is not spoken here"


class InvalidSpec(TdmrError):
    """The spec is well-formed but asks for something that cannot be done."""

    code = "invalid_spec"
    title = "The job cannot run as asked"


class UnknownTeacher(InvalidSpec):
    """No worker offers this teacher."""

    code = "unknown_teacher"
    title = "No worker can load this teacher"


class UnknownStudent(InvalidSpec):
    """No worker offers this student architecture."""

    code = "unknown_student"
    title = "No worker can train this student"


class ModelRefused(InvalidSpec):
    """A sweep over all architectures found that this one cannot do what the job asks of it."""

    code = "model_refused"
    title = "This network is known not to do that"


class IdempotencyKeyReused(TdmrError):
    """The Idempotency-Key was used before with another body."""

    code = "idempotency_key_reused"
    title = "Idempotency-Key was used with another body"


class StateConflict(TdmrError):
    """The object's state forbids it."""

    code = "state_conflict"
    title = "The current state does not allow this"


class IdempotencyKeyInFlight(StateConflict):
    """An earlier request with the same Idempotency-Key is still being worked on."""

    code = "idempotency_key_in_flight"
    title = "The same request is still under way"


class DatasetNotReady(StateConflict):
    """The data set is still being validated, or was rejected."""

    code = "dataset_not_ready"
    title = "The data set is not ready"


class JobNotSucceeded(StateConflict):
    """The job has not (yet) left what is asked for."""

    code = "job_not_succeeded"
    title = "The job has not succeeded"


class NothingToPredictWith(StateConflict):
    """The job has published no student that the service can run."""

    code = "nothing_to_predict_with"
    title = "The job has no file to predict with"


class DatasetInUse(StateConflict):
    """A job still needs the data set."""

    code = "dataset_in_use"
    title = "A job uses this data set"


class UploadIncomplete(StateConflict):
    """Some of the upload's bytes have not arrived yet."""

    code = "upload_incomplete"
    title = "The upload is not complete"


class UploadComplete(StateConflict):
    """All of the upload's bytes have arrived."""

    code = "upload_complete"
    title = "The upload is complete"


class OffsetMismatch(StateConflict):
    """The request goes on from another byte than the upload has arrived at."""

    code = "offset_mismatch"
    title = "The upload stands elsewhere"

    def __init__(self, detail: str, *, offset: int, hint: str | None = None, param: str | None = None) -> None:
        super().__init__(detail, hint=hint, param=param)
        self.offset = offset
        """Where it stands, in bytes."""


class CatalogEmpty(TdmrError):
    """No worker has said yet what it can build."""

    code = "no_worker_yet"
    title = "No worker has announced itself yet"


class StoreUnavailable(TdmrError):
    """The database, the broker or the storage is away."""

    code = "store_unavailable"
    title = "A backing service is unavailable"


class PredictionsBusy(TdmrError):
    """As many predictions are at work as may be, and as many wait."""

    code = "predictions_busy"
    title = "Too many predictions at once"


class DiskFull(TdmrError):
    """There is no space left for what was sent."""

    code = "disk_full"
    title = "The disk is full"


class DatasetRejected(TdmrError):
    """The archive cannot become a data set. Raised by the import; shown as the data set's `error`."""

    code = "dataset_rejected"
    title = "The data set was rejected"


class ImportFailed(TdmrError):
    """The import ended without a verdict: the fault is ours, and the archive may be fine."""

    code = "import_failed"
    title = "The data set could not be checked"


class TrainingFailed(TdmrError):
    """The training room could not finish. Shown as the job's `error`."""

    code = "training_failed"
    title = "Training failed"


class NonFiniteLoss(TrainingFailed):
    """A loss became NaN or infinite; the optimiser was not stepped."""

    code = "non_finite_loss"
    title = "The loss is no longer a number"


class WeightsUnavailable(TrainingFailed):
    """A network's weights could not be loaded or do not match their card."""

    code = "weights_unavailable"
    title = "The network's weights are not available"


class ModelNotBuildable(TrainingFailed):
    """timm cannot build this architecture at this input size."""

    code = "model_not_buildable"
    title = "The network cannot be built as asked"


class ExportFailed(TrainingFailed):
    """The student cannot be written in a requested format."""

    code = "export_failed"
    title = "The student could not be exported"


class ExportParityFailed(ExportFailed):
    """An exported file does not compute what was trained. It is never published."""

    code = "export_parity_failed"
    title = "An exported file disagrees with the trained student"


class OutOfMemory(TrainingFailed):
    """The job needs more memory than the worker has."""

    code = "out_of_memory"
    title = "The worker ran out of memory"


class WorkerLostRepeatedly(TrainingFailed):
    """Several attempts in a row ended without a word and without progress."""

    code = "worker_lost_repeatedly"
    title = "The job's workers were lost again and again"


class TimeLimitExceeded(TrainingFailed):
    """The job ran for longer than this service allows."""

    code = "time_limit_exceeded"
    title = "The job took too long"
