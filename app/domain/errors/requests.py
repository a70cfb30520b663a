"""Problems of a request itself: its shape, its key, its size, its preconditions, and uploads."""

from app.domain.errors.catalogue import TdmrError


class MalformedRequest(
    TdmrError,
    code="malformed_request",
    title="The request cannot be parsed",
    status=400,
    example="The body is not JSON: Expecting value at character 0.",
):
    """The request cannot be parsed."""


class Unauthorized(
    TdmrError,
    code="unauthorized",
    title="A valid API key is required",
    status=401,
    example="The request carries no valid API key.",
):
    """The API key is missing, unknown, revoked or expired."""


class Forbidden(
    TdmrError,
    code="forbidden",
    title="This API key lacks permission",
    status=403,
    example="This request needs a key with the scope `write`; yours has read.",
):
    """The API key lacks the scope, or may not act for that tenant."""


class HostNotAllowed(
    TdmrError,
    code="host_not_allowed",
    title="The service does not answer to this name",
    status=403,
    example="The Host 'rebound.example' is not a name of this service.",
):
    """`Host` is not a name of this service: a page of another site may have been pointed at it (DNS rebinding)."""


class OriginNotAllowed(
    TdmrError,
    code="origin_not_allowed",
    title="A page of another origin may change nothing here",
    status=403,
    example="This request was sent by a page of another origin.",
):
    """A browser sent this request for a page of another origin."""


class CsrfTokenInvalid(
    TdmrError,
    code="csrf_token_invalid",
    title="The page's token is missing or out of date",
    status=403,
    example="The request carries a session cookie and no valid X-CSRF-Token.",
):
    """A change that rides on a browser's session must carry the token of a page of that session."""


class NotFound(TdmrError, code="not_found", title="Not found", status=404, example="There is no such job."):
    """The object does not exist, or belongs to another tenant."""


class MethodNotAllowed(
    TdmrError,
    code="method_not_allowed",
    title="Method not allowed",
    status=405,
    example="PUT is not supported for this path.",
):
    """The path does not support this method; `Allow` lists the methods it supports."""


class UploadTooSlow(
    TdmrError,
    code="upload_too_slow",
    title="The request body arrives too slowly",
    status=408,
    example="Fewer than 7,680 bytes arrived within 30 s.",
):
    """The request body arrives too slowly, or not at all."""


class HeadTooSlow(
    TdmrError,
    code="head_too_slow",
    title="The request's head arrives too slowly",
    status=408,
    example="The request's head was not complete after 20 s.",
):
    """Request line and headers were not complete in time. The connection is closed."""


class HeadTooLarge(
    TdmrError,
    code="head_too_large",
    title="The request's head is too large",
    status=431,
    example="Request line and headers may have at most 32,768 bytes.",
):
    """Request line and headers, or the trailers after a body, have too many bytes. The connection is closed."""


class TooLarge(
    TdmrError,
    code="too_large",
    title="The content is too large",
    status=413,
    example="The archive may have at most 1,024 bytes.",
):
    """The request body or the announced upload exceeds the limit."""


class BytesQuotaExceeded(
    TooLarge,
    code="bytes_quota_exceeded",
    title="Storage quota exceeded",
    example="Your data sets have 900 bytes; with 200 more they would exceed 1,000.",
):
    """The tenant's data sets would exceed their storage quota."""


class UnsupportedMediaType(
    TdmrError,
    code="unsupported_media_type",
    title="Unsupported media type",
    status=415,
    example="This route takes application/json.",
):
    """This route does not accept a body of this media type."""


class InvalidRequest(
    TdmrError,
    code="invalid_request",
    title="Invalid request",
    status=422,
    example="distill.learning_rate: Input should be greater than 0",
):
    """A field or parameter is invalid; `errors` lists every one."""


class TooManyRequests(
    TdmrError,
    code="rate_limited",
    title="Too many requests",
    status=429,
    example="More than 600 requests in one minute.",
):
    """The rate limit is exceeded; try again after `Retry-After`."""

    def __init__(self, detail: str, *, retry_after: float, hint: str | None = None) -> None:
        super().__init__(detail, hint=hint)
        self.retry_after = retry_after
        """Seconds to wait before another attempt may succeed."""


class QueueQuotaExceeded(
    TooManyRequests,
    code="queue_quota_exceeded",
    title="Too many queued jobs",
    example="You have 10 queued jobs, as many as you may have.",
):
    """The tenant's quota of queued jobs is used up."""


class DestinationRefused(
    TdmrError,
    code="destination_refused",
    title="The service may not connect to this address",
    status=422,
    example="127.0.0.1 is not a public address: loopback.",
):
    """The URL leads to an address that is not public, and the operator has not allowed it."""


class BucketRefused(
    DestinationRefused,
    code="bucket_refused",
    title="The service may not read this bucket",
    example="The service may not read s3://payroll/ there.",
):
    """The operator has not opened this bucket, or not this part of it, to data sets."""


class PreconditionFailed(
    TdmrError,
    code="precondition_failed",
    title="The file has another ETag",
    status=412,
    example="The file has another ETag than If-Match asks for.",
):
    """If-Match names another file."""


class RangeNotSatisfiable(
    TdmrError,
    code="range_not_satisfiable",
    title="The range lies outside the file",
    status=416,
    example="The file has 9 bytes; ask for one range within it.",
):
    """The range lies outside the file."""


class UnsupportedTusVersion(
    TdmrError,
    code="unsupported_tus_version",
    title="Unsupported tus version; this server supports 1.0.0",
    status=412,
    example="The request does not declare tus 1.0.0.",
):
    """`Tus-Resumable` is missing or names a version of tus other than 1.0.0."""


class UploadLocked(
    TdmrError,
    code="upload_locked",
    title="The upload is in use",
    status=423,
    example="Another request is writing to this upload.",
):
    """Another request is writing to the upload."""


class ChecksumMismatch(
    TdmrError,
    code="checksum_mismatch",
    title="The checksum does not match",
    status=460,  # defined by tus
    example="The body does not match its Upload-Checksum and was discarded.",
):
    """The body does not match its Upload-Checksum and was discarded."""


class UnusableImage(
    TdmrError,
    code="unusable_image",
    title="The image cannot be used",
    status=422,
    example="The image is damaged or is no image.",
):
    """The body is no image, or the image is damaged or exceeds a limit."""
