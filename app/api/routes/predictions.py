"""Predict one image with a student."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool

from app.api.deps import AppPartials, AppPredictor, AppSettings, AppStore, ReadingCaller
from app.api.openapi import BINARY, problems
from app.api.previews import wanting_preview
from app.api.schemas.results import ClassProbability, PredictionRead
from app.api.uploads.body_stream import bounded, fresh, pour
from app.api.uploads.multipart import Form
from app.db.engine import Store
from app.domain.errors import (
    DiskFull,
    FileLost,
    FilesDeleted,
    JobNotSucceeded,
    MalformedRequest,
    NotFound,
    NothingToPredictWith,
    PredictionsBusy,
    PreviewGone,
    PreviewNotReady,
    StudentRequired,
    TooLarge,
    UnsupportedMediaType,
    UnusableImage,
)
from app.services import predictions
from app.services.predictions import Target
from app.storage.partial import PartialUploads

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"])

IMAGE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "title": "ImageUpload",
                    "description": "One image, as a form.",
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            **BINARY,
                            "description": "One image: JPEG, PNG, WebP, BMP, GIF, TIFF or PPM.",
                        }
                    },
                }
            },
            "application/octet-stream": {"schema": BINARY},
            "image/*": {"schema": BINARY},
        },
    }
}


@router.post(
    "/predict",
    operation_id="predict",
    summary="Predict one image",
    response_model=PredictionRead,
    responses=problems(
        MalformedRequest,
        NotFound,
        FileLost,
        FilesDeleted,
        JobNotSucceeded,
        NothingToPredictWith,
        PreviewNotReady,
        PreviewGone,
        TooLarge,
        UnsupportedMediaType,
        StudentRequired,
        UnusableImage,
        PredictionsBusy,
        DiskFull,
    ),
    openapi_extra=IMAGE_BODY,
)
async def predict(
    job_id: str,
    request: Request,
    caller: ReadingCaller,
    settings: AppSettings,
    store: AppStore,
    partials: AppPartials,
    predictor: AppPredictor,
    student: Annotated[str | None, Query(description="Which student; required where the job has several.")] = None,
    top_k: Annotated[int, Query(ge=1, le=1000, description="Number of most probable classes to return.")] = 5,
    preview: Annotated[
        bool, Query(description="The student of the moment, while its job trains; `preview` says what it is.")
    ] = False,
) -> PredictionRead:
    """Send the image as a form or as the request body. The exported `student.onnx` runs on it after the preprocessing
    of its manifest, so the result is that of the downloaded file. Needs only the scope `read`. Meant for trying a
    student, not for production traffic: few predictions run at a time."""

    def find() -> Target:
        if preview:
            return find_preview(store, caller.tenant, job_id, student)
        with store.read() as session:
            return predictions.find(session, caller.tenant, job_id, student)

    target = await run_in_threadpool(find)  # before the body: who asks for nothing sends nothing
    image = await _received(request, partials, settings.max_predict_bytes)
    made = await predictor.predict(target.exported, image, settings.request_seconds)
    return PredictionRead(
        job_id=target.job_id,
        student=target.student,
        file=target.file,
        predictions=[ClassProbability(name=name, probability=p) for name, p in made.probabilities[:top_k]],
        preprocessing=made.preprocessing,
        preview=made.mark,
        latency_ms=round(made.latency_seconds * 1000, 3),
    )


def find_preview(store: Store, tenant: str, job_id: str, student: str | None) -> Target:
    """As `predictions.find_preview`; a file that is missing or outdated is asked for."""
    with wanting_preview(store, tenant, job_id, student) as wanted, store.read() as session:
        target, preview = predictions.find_preview(session, tenant, job_id, student)
        wanted.is_outdated = preview.is_outdated
    return target


async def _received(request: Request, partials: PartialUploads, max_bytes: int) -> bytes:
    """The image. On its way it lies in a local file, so that many slow clients cost no memory.

    Raises:
        MalformedRequest, UnsupportedMediaType, TooLarge, DiskFull, RequestValidationError: about the body.
        UnusableImage: if it has none.
    """
    media_type, options = parse_options_header(request.headers.get("content-type"))
    form = media_type == b"multipart/form-data"
    if form and b"boundary" not in options:
        raise MalformedRequest("The Content-Type has no boundary.", param="Content-Type")
    if not form and not media_type.startswith(b"image/") and media_type != b"application/octet-stream":
        raise UnsupportedMediaType(
            "Send the image as multipart/form-data, or as the body with its own media type.",
            hint="Try: curl -F file=@photo.jpg …",
            param="Content-Type",
        )
    async with fresh(partials) as partial:
        write = bounded(partial, max_bytes)
        if form:
            fields = Form(options[b"boundary"], write)
            await pour(request, fields.feed)
            fields.finish()
        else:
            await pour(request, write)
        if partial.offset == 0:
            raise UnusableImage("The image is empty.", hint="Send one image.", param="file")
        return await run_in_threadpool(partial.path.read_bytes)
