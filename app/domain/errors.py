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


class IdempotencyKeyReused(TdmrError):
    """The Idempotency-Key was used before with another body."""

    code = "idempotency_key_reused"
    title = "Idempotency-Key was used with another body"


class StateConflict(TdmrError):
    """The object's state forbids it."""

    code = "state_conflict"
    title = "The current state does not allow this"


class DatasetNotReady(StateConflict):
    """The data set is still being validated, or was rejected."""

    code = "dataset_not_ready"
    title = "The data set is not ready"


class DatasetInUse(StateConflict):
    """A job still needs the data set."""

    code = "dataset_in_use"
    title = "A job uses this data set"


class CatalogEmpty(TdmrError):
    """No worker has said yet what it can build."""

    code = "no_worker_yet"
    title = "No worker has announced itself yet"


class StoreUnavailable(TdmrError):
    """The database, the broker or the storage is away."""

    code = "store_unavailable"
    title = "A backing service is unavailable"


class DiskFull(TdmrError):
    """There is no space left for what was sent."""

    code = "disk_full"
    title = "The disk is full"


class DatasetRejected(TdmrError):
    """The archive cannot become a data set. Raised by the import; shown as the data set's `error`."""

    code = "dataset_rejected"
    title = "The data set was rejected"


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


class WorkerLost(TrainingFailed):
    """The training process died without saying why."""

    code = "worker_lost"
    title = "The training process died"
