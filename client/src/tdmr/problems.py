"""One exception for each problem that the service answers with.

Generated from its OpenAPI document by client/tools; not to be edited.
"""

from tdmr.errors import APIError


class BucketRefused(APIError):
    """The service may not read this bucket (422)."""

    code = "bucket_refused"
    status = 422


class BytesQuotaExceeded(APIError):
    """Storage quota exceeded (413)."""

    code = "bytes_quota_exceeded"
    status = 413


class ChecksumMismatch(APIError):
    """The checksum does not match (460)."""

    code = "checksum_mismatch"
    status = 460


class CsrfTokenInvalid(APIError):
    """The page's token is missing or out of date (403)."""

    code = "csrf_token_invalid"
    status = 403


class DatasetInUse(APIError):
    """A job uses this data set (409)."""

    code = "dataset_in_use"
    status = 409


class DatasetNotReady(APIError):
    """The data set is not ready (409)."""

    code = "dataset_not_ready"
    status = 409


class DestinationRefused(APIError):
    """The service may not connect to this address (422)."""

    code = "destination_refused"
    status = 422


class DiskFull(APIError):
    """The disk is full (507)."""

    code = "disk_full"
    status = 507


class FileLost(APIError):
    """A stored file is lost (410)."""

    code = "file_lost"
    status = 410


class FilesDeleted(APIError):
    """The job's files were deleted (410)."""

    code = "files_deleted"
    status = 410


class Forbidden(APIError):
    """This API key lacks permission (403)."""

    code = "forbidden"
    status = 403


class HostNotAllowed(APIError):
    """The service does not answer to this name (403)."""

    code = "host_not_allowed"
    status = 403


class IdempotencyKeyInFlight(APIError):
    """The same request is still being processed (409)."""

    code = "idempotency_key_in_flight"
    status = 409


class IdempotencyKeyReused(APIError):
    """The Idempotency-Key was used with another body (422)."""

    code = "idempotency_key_reused"
    status = 422


class InternalError(APIError):
    """Internal error (500)."""

    code = "internal_error"
    status = 500


class InvalidRequest(APIError):
    """Invalid request (422)."""

    code = "invalid_request"
    status = 422


class InvalidSpec(APIError):
    """The job cannot run as specified (422)."""

    code = "invalid_spec"
    status = 422


class JobNotSucceeded(APIError):
    """The job has not succeeded (409)."""

    code = "job_not_succeeded"
    status = 409


class JobTooLong(APIError):
    """The job would take longer than this service allows (422)."""

    code = "job_too_long"
    status = 422


class MalformedRequest(APIError):
    """The request cannot be parsed (400)."""

    code = "malformed_request"
    status = 400


class ModelRefused(APIError):
    """This network is known to fail at this (422)."""

    code = "model_refused"
    status = 422


class NoWorkerYet(APIError):
    """No training worker has registered yet (503)."""

    code = "no_worker_yet"
    status = 503


class NotFound(APIError):
    """Not found (404)."""

    code = "not_found"
    status = 404


class NothingToPredictWith(APIError):
    """The job has no file to predict with (409)."""

    code = "nothing_to_predict_with"
    status = 409


class OffsetMismatch(APIError):
    """Upload-Offset does not match (409)."""

    code = "offset_mismatch"
    status = 409


class OriginNotAllowed(APIError):
    """A page of another origin may change nothing here (403)."""

    code = "origin_not_allowed"
    status = 403


class PreconditionFailed(APIError):
    """The file has another ETag (412)."""

    code = "precondition_failed"
    status = 412


class PredictionsBusy(APIError):
    """Too many concurrent predictions (503)."""

    code = "predictions_busy"
    status = 503


class PreviewGone(APIError):
    """There is no preview any more (410)."""

    code = "preview_gone"
    status = 410


class PreviewNotReady(APIError):
    """There is no preview yet (409)."""

    code = "preview_not_ready"
    status = 409


class QueueQuotaExceeded(APIError):
    """Too many queued jobs (429)."""

    code = "queue_quota_exceeded"
    status = 429


class RangeNotSatisfiable(APIError):
    """The range lies outside the file (416)."""

    code = "range_not_satisfiable"
    status = 416


class RateLimited(APIError):
    """Too many requests (429)."""

    code = "rate_limited"
    status = 429


class ReportsBusy(APIError):
    """Too many reports at once (503)."""

    code = "reports_busy"
    status = 503


class StateConflict(APIError):
    """The current state does not allow this (409)."""

    code = "state_conflict"
    status = 409


class StoreUnavailable(APIError):
    """A backing service is unavailable (503)."""

    code = "store_unavailable"
    status = 503


class StudentRequired(APIError):
    """The job has several students (422)."""

    code = "student_required"
    status = 422


class TooLarge(APIError):
    """The content is too large (413)."""

    code = "too_large"
    status = 413


class TooManyWebhooks(APIError):
    """Too many webhooks (409)."""

    code = "too_many_webhooks"
    status = 409


class TrackingNotConfigured(APIError):
    """This service has no tracking server (422)."""

    code = "tracking_not_configured"
    status = 422


class Unauthorized(APIError):
    """A valid API key is required (401)."""

    code = "unauthorized"
    status = 401


class UnknownLayout(APIError):
    """The import does not offer this reading (422)."""

    code = "unknown_layout"
    status = 422


class UnknownStudent(APIError):
    """Unknown student (422)."""

    code = "unknown_student"
    status = 422


class UnknownTeacher(APIError):
    """Unknown teacher (422)."""

    code = "unknown_teacher"
    status = 422


class UnsupportedMediaType(APIError):
    """Unsupported media type (415)."""

    code = "unsupported_media_type"
    status = 415


class UnsupportedTusVersion(APIError):
    """Unsupported tus version; this server supports 1.0.0 (412)."""

    code = "unsupported_tus_version"
    status = 412


class UnusableImage(APIError):
    """The image cannot be used (422)."""

    code = "unusable_image"
    status = 422


class UploadComplete(APIError):
    """The upload is complete (409)."""

    code = "upload_complete"
    status = 409


class UploadIncomplete(APIError):
    """The upload is incomplete (409)."""

    code = "upload_incomplete"
    status = 409


class UploadLocked(APIError):
    """The upload is in use (423)."""

    code = "upload_locked"
    status = 423


class UploadTooSlow(APIError):
    """The request body arrives too slowly (408)."""

    code = "upload_too_slow"
    status = 408


class WebhookExists(APIError):
    """There is a webhook with this URL (409)."""

    code = "webhook_exists"
    status = 409


BY_CODE: dict[str, type[APIError]] = {
    "bucket_refused": BucketRefused,
    "bytes_quota_exceeded": BytesQuotaExceeded,
    "checksum_mismatch": ChecksumMismatch,
    "csrf_token_invalid": CsrfTokenInvalid,
    "dataset_in_use": DatasetInUse,
    "dataset_not_ready": DatasetNotReady,
    "destination_refused": DestinationRefused,
    "disk_full": DiskFull,
    "file_lost": FileLost,
    "files_deleted": FilesDeleted,
    "forbidden": Forbidden,
    "host_not_allowed": HostNotAllowed,
    "idempotency_key_in_flight": IdempotencyKeyInFlight,
    "idempotency_key_reused": IdempotencyKeyReused,
    "internal_error": InternalError,
    "invalid_request": InvalidRequest,
    "invalid_spec": InvalidSpec,
    "job_not_succeeded": JobNotSucceeded,
    "job_too_long": JobTooLong,
    "malformed_request": MalformedRequest,
    "model_refused": ModelRefused,
    "no_worker_yet": NoWorkerYet,
    "not_found": NotFound,
    "nothing_to_predict_with": NothingToPredictWith,
    "offset_mismatch": OffsetMismatch,
    "origin_not_allowed": OriginNotAllowed,
    "precondition_failed": PreconditionFailed,
    "predictions_busy": PredictionsBusy,
    "preview_gone": PreviewGone,
    "preview_not_ready": PreviewNotReady,
    "queue_quota_exceeded": QueueQuotaExceeded,
    "range_not_satisfiable": RangeNotSatisfiable,
    "rate_limited": RateLimited,
    "reports_busy": ReportsBusy,
    "state_conflict": StateConflict,
    "store_unavailable": StoreUnavailable,
    "student_required": StudentRequired,
    "too_large": TooLarge,
    "too_many_webhooks": TooManyWebhooks,
    "tracking_not_configured": TrackingNotConfigured,
    "unauthorized": Unauthorized,
    "unknown_layout": UnknownLayout,
    "unknown_student": UnknownStudent,
    "unknown_teacher": UnknownTeacher,
    "unsupported_media_type": UnsupportedMediaType,
    "unsupported_tus_version": UnsupportedTusVersion,
    "unusable_image": UnusableImage,
    "upload_complete": UploadComplete,
    "upload_incomplete": UploadIncomplete,
    "upload_locked": UploadLocked,
    "upload_too_slow": UploadTooSlow,
    "webhook_exists": WebhookExists,
}
"""Another code is an `APIError`."""
