"""Problems of what is asked for: a job's spec, and the state of a job, a data set or an upload."""

from app.domain.errors.catalogue import TdmrError


class InvalidSpec(
    TdmrError,
    code="invalid_spec",
    title="The job cannot run as specified",
    status=422,
    example="The data set has no unlabelled images.",
):
    """The job is well-formed but cannot run as specified."""


class UnknownTeacher(
    InvalidSpec,
    code="unknown_teacher",
    title="Unknown teacher",
    example="No worker offers a teacher named 'resnet81'.",
):
    """No worker offers this teacher."""


class UnknownStudent(
    InvalidSpec,
    code="unknown_student",
    title="Unknown student",
    example="No worker offers a student named 'resnet81'.",
):
    """No worker offers this student architecture."""


class ModelRefused(
    InvalidSpec,
    code="model_refused",
    title="This network is known to fail at this",
    example="'mobilenetv3_small_050' does not take images of 8 px.",
):
    """A test of all architectures found that this one cannot do what the job asks for."""


class JobTooLong(
    InvalidSpec,
    code="job_too_long",
    title="The job would take longer than this service allows",
    example="The job would take about 11 days on the workers that are here; this service allows 24 hours.",
):
    """The job would take longer than the operator allows, by the low end of its estimate."""


class TrackingNotConfigured(
    TdmrError,
    code="tracking_not_configured",
    title="This service has no tracking server",
    status=422,
    example="This service has no MLflow server, so it cannot log a job there.",
):
    """The job is to be logged to a tracker of experiments, and the operator has named no server for that."""


class StudentRequired(
    TdmrError,
    code="student_required",
    title="The job has several students",
    status=422,
    example="The job has 2 students, each with its own results.",
):
    """The job has several students and the request names none; pass `student`."""


class IdempotencyKeyReused(
    TdmrError,
    code="idempotency_key_reused",
    title="The Idempotency-Key was used with another body",
    status=422,
    example="This Idempotency-Key belongs to a request with another body.",
):
    """The Idempotency-Key was used before with another body."""


class StateConflict(
    TdmrError,
    code="state_conflict",
    title="The current state does not allow this",
    status=409,
    example="The job has already ended: it is succeeded.",
):
    """The object's state does not allow this."""


class IdempotencyKeyInFlight(
    StateConflict,
    code="idempotency_key_in_flight",
    title="The same request is still being processed",
    example="A request with this Idempotency-Key is still being processed.",
):
    """An earlier request with the same Idempotency-Key is still being processed."""


class DatasetNotReady(
    StateConflict,
    code="dataset_not_ready",
    title="The data set is not ready",
    example="The data set is validating.",
):
    """The data set is still being validated, waits for its owner to choose a reading, or was rejected."""


class UnknownLayout(
    TdmrError,
    code="unknown_layout",
    title="The import does not offer this reading",
    status=422,
    example="The import does not offer 'folders:3'.",
):
    """The import has not offered this reading of the archive; `layout.readings` of the data set lists those it has."""


class JobNotSucceeded(
    StateConflict,
    code="job_not_succeeded",
    title="The job has not succeeded",
    example="The job has no files: it is running.",
):
    """The job has not succeeded, so it has no such result."""


class PreviewNotReady(
    StateConflict,
    code="preview_not_ready",
    title="There is no preview yet",
    example="The preview is being made.",
):
    """The student has no preview yet, or its ONNX file is being made."""


class PreviewGone(
    TdmrError,
    code="preview_gone",
    title="There is no preview any more",
    status=410,
    example="The job has succeeded: its finished student has replaced the preview.",
):
    """The job has ended. A finished student has replaced its preview, or the preview was not kept."""


class FilesDeleted(
    TdmrError,
    code="files_deleted",
    title="The job's files were deleted",
    status=410,
    example="The files of this job were deleted on 2026-11-29: the service keeps them for 30 days.",
):
    """The job's files have been deleted because of their age. The job, its evaluation and its curves are kept; running
    it again makes the files again."""


class NothingToPredictWith(
    StateConflict,
    code="nothing_to_predict_with",
    title="The job has no file to predict with",
    example="The job has no student.onnx.",
):
    """The job has published no student that the service can run."""


class WebhookExists(
    StateConflict,
    code="webhook_exists",
    title="There is a webhook with this URL",
    example="The webhook wh_01JCZ7Q5W3N0R8V6T4X2Y1A9BC has this URL.",
):
    """Another webhook has the same URL; each event would be sent to it twice."""


class TooManyWebhooks(
    StateConflict,
    code="too_many_webhooks",
    title="Too many webhooks",
    example="You have 20 webhooks, as many as you may have.",
):
    """The tenant has as many webhooks as it may have."""


class DatasetInUse(
    StateConflict,
    code="dataset_in_use",
    title="A job uses this data set",
    example="A job that has not ended uses this data set.",
):
    """A job that has not ended uses the data set."""


class UploadIncomplete(
    StateConflict,
    code="upload_incomplete",
    title="The upload is incomplete",
    example="9 of 20 bytes have arrived.",
):
    """Some of the upload's bytes have not arrived yet."""


class UploadComplete(
    StateConflict,
    code="upload_complete",
    title="The upload is complete",
    example="All bytes have arrived.",
):
    """All of the upload's bytes have already arrived."""


class OffsetMismatch(
    StateConflict,
    code="offset_mismatch",
    title="Upload-Offset does not match",
    example="9 bytes have arrived, not 20.",
):
    """Upload-Offset differs from the number of bytes that have arrived."""

    def __init__(self, detail: str, *, offset: int, hint: str | None = None, param: str | None = None) -> None:
        super().__init__(detail, hint=hint, param=param)
        self.offset = offset
        """Bytes that have arrived."""
