"""`/datasets` and `/datasets/{id}`: bring images, see what the import found, look at them, correct labels."""

import csv
import io
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from fastapi import BackgroundTasks, Depends, Header, Query, Request, Response
from pydantic import TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool

from app import queue
from app.api.deps import (
    AppBlobs,
    AppNotifier,
    AppSettings,
    CurrentCaller,
    ReadingCaller,
    ReadSession,
    Revalidate,
    WriteSession,
    read_in_turn,
)
from app.api.params import AfterClass, AfterDataset
from app.api.preconditions import matches
from app.api.schemas.datasets import DatasetListed
from app.db.models import Dataset
from app.demo.digits import write_digits_zip
from app.domain.dataset import DatasetReport, Sample, Split, Understanding
from app.domain.errors import InvalidRequest
from app.domain.files import sha256_file
from app.domain.sources import SourceUrl, file_name
from app.domain.states import DatasetState
from app.pages.deps import CurrentViewer, Posted, seen, text_of
from app.pages.job_lines import lines
from app.pages.rendering import page
from app.pages.routing import PlainRoute, page_router
from app.services import dataset_images, dataset_pictures, datasets, overview, sources, thumbnails, uploads
from app.services.datasets import Upload

router = page_router()
pictures = page_router(PlainRoute)

LISTED, CLASSES, PICTURES, JOBS = 25, 100, 60, 6
DEMO_NAME = "handwritten-digits.zip"
UNCHANGING = {"Cache-Control": "private, max-age=31536000, immutable"}
SPLIT_WORDS = {Split.UNLABELLED: "unlabeled"}
"""As a labels.csv calls it."""
_ADDRESS: TypeAdapter[str] = TypeAdapter(SourceUrl)


@router.get("/datasets")
def dataset_list(
    request: Request,
    caller: CurrentCaller,
    viewer: CurrentViewer,
    session: ReadSession,
    settings: AppSettings,
    after: AfterDataset = None,
) -> Response:
    found = datasets.page(session, caller.tenant, after=after, limit=LISTED)
    return page(
        request,
        viewer,
        "datasets.html",
        datasets=[DatasetListed.from_row(row) for row in found.items],
        has_more=found.has_more,
        after=after,
        max_bytes=settings.max_upload_bytes,
    )


def demo_archive(caller: CurrentCaller) -> Iterator[Upload]:
    """Written before the session is opened, and gone before the answer leaves."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, DEMO_NAME)
        write_digits_zip(archive)
        yield Upload(archive, DEMO_NAME, archive.stat().st_size, sha256_file(archive))


DemoArchive = Annotated[Upload, Depends(demo_archive, scope="function")]


@router.post("/forms/datasets/demo")
def create_demo(
    caller: CurrentCaller,
    archive: DemoArchive,
    session: WriteSession,
    settings: AppSettings,
    blobs: AppBlobs,
    notifier: AppNotifier,
    revalidate: Revalidate,
    background: BackgroundTasks,
) -> Response:
    """The handwritten digits of `tdmr demo`, written here: nothing is downloaded."""
    dataset = datasets.create(session, blobs, settings.quotas, caller, archive, revalidate)
    background.add_task(notifier.notify, queue.IMPORT_TASK, dataset.id)
    return seen(f"/datasets/{dataset.id}")


@router.post("/forms/datasets/address")
def fetch_address(
    caller: CurrentCaller,
    form: Posted,
    session: WriteSession,
    settings: AppSettings,
    notifier: AppNotifier,
    background: BackgroundTasks,
) -> Response:
    """An archive that an import worker fetches."""
    try:
        url = _ADDRESS.validate_python(text_of(form, "source_url"))
    except ValidationError as error:
        told = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InvalidRequest(f"The address {told}.", param="source_url") from None  # it may hold a secret
    sources.require_allowed(settings.destinations, settings.buckets, url)
    name = uploads.file_name(file_name(url))
    dataset = sources.create(session, settings.quotas, caller, sources.Source(url, name))
    background.add_task(notifier.notify, queue.IMPORT_TASK, dataset.id)
    return seen(f"/datasets/{dataset.id}")


@router.get("/datasets/{dataset_id}")
async def dataset_page(
    request: Request,
    dataset_id: str,
    caller: CurrentCaller,
    viewer: CurrentViewer,
    settings: AppSettings,
    blobs: AppBlobs,
    after: AfterClass = None,
) -> Response:
    def read(session: ReadSession) -> dict[str, Any]:
        row = datasets.find(session, caller.tenant, dataset_id)
        values: dict[str, Any] = {
            "row": row,
            "dataset": DatasetListed.from_row(row),
            "report": None,
            "layout": _understood(row),
            "answer_by": row.updated_at + timedelta(hours=settings.keep_unanswered_hours),
            "classes": [],
            "has_more": False,
            "review_key": None,
            "jobs": lines(session, settings, caller.tenant, overview.jobs_on(session, caller.tenant, row.id, JOBS)),
        }
        if row.state == DatasetState.READY:
            found = datasets.classes(session, caller.tenant, row.id, after=after, limit=CLASSES)
            report = DatasetReport.model_validate(datasets.report(session, caller.tenant, row.id)).listed()
            values |= {"report": report, "classes": found.items, "has_more": found.has_more}
            values["review_key"] = dataset_pictures.find_review(session, row)
        return values

    values = await read_in_turn(request, read)
    row = values.pop("row")
    assert isinstance(row, Dataset)
    key = values.pop("review_key")
    review = await run_in_threadpool(dataset_pictures.review, blobs, key) if isinstance(key, str) else None
    return page(request, viewer, "dataset.html", review=review, after=after, **values)


@router.get("/datasets/{dataset_id}/images")
async def image_list(
    request: Request,
    dataset_id: str,
    caller: CurrentCaller,
    viewer: CurrentViewer,
    blobs: AppBlobs,
    split: Annotated[str, Query(pattern="^(train|val|test|unlabelled)?$")] = "",
    label: Annotated[str, Query(pattern="^[0-9]{0,6}$")] = "",
    start: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """A page of images by split and class, of what the import kept."""
    row = await _ready(request, caller.tenant, dataset_id)
    gallery = await run_in_threadpool(dataset_images.gallery, blobs, row)
    number = int(label) if label else None  # a form sends empty fields too
    chosen = gallery.chosen(Split(split) if split else None, number)
    return page(
        request,
        viewer,
        "images.html",
        dataset=row,
        classes=gallery.classes,
        images=chosen[start : start + PICTURES],
        total=len(chosen),
        start=start,
        step=PICTURES,
        split=split,
        label=number,
        splits=list(Split),
    )


@pictures.get("/pictures/{dataset_id}")
async def image(request: Request, dataset_id: str, path: str, caller: CurrentCaller, blobs: AppBlobs) -> Response:
    """One image at its full size. Under one address it never changes."""
    row = await _ready(request, caller.tenant, dataset_id)
    found = await run_in_threadpool(dataset_images.picture, blobs, row, path)
    return Response(found.content, media_type=found.media_type, headers=UNCHANGING)


@pictures.get("/thumbnails/{dataset_id}")
async def small_image(
    request: Request,
    dataset_id: str,
    path: str,
    caller: CurrentCaller,
    blobs: AppBlobs,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """One image as grids show it."""
    row = await _ready(request, caller.tenant, dataset_id)
    gallery = await run_in_threadpool(dataset_images.gallery, blobs, row)
    headers = {**UNCHANGING, "ETag": thumbnails.etag(gallery.named(path))}
    if matches(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    found = await run_in_threadpool(thumbnails.thumbnail, blobs, row, path)
    return Response(found.content, media_type=found.media_type, headers=headers)


@router.post("/forms/datasets/{dataset_id}/labels.csv")
async def corrected_labels(
    request: Request, dataset_id: str, caller: ReadingCaller, form: Posted, blobs: AppBlobs
) -> Response:
    """A labels.csv of the whole data set with the corrections of the form, to be put beside the images."""
    row = await _ready(request, caller.tenant, dataset_id)
    gallery = await run_in_threadpool(dataset_images.gallery, blobs, row)
    corrections = {}
    for field, wanted in form.multi_items():
        if field.startswith("label:") and isinstance(wanted, str) and wanted:
            if wanted not in gallery.classes:
                raise InvalidRequest(f"The data set has no class named '{wanted}'.", param=field)
            corrections[field.removeprefix("label:")] = wanted
    content = await run_in_threadpool(_labels_csv, gallery.classes, gallery.samples, corrections)
    headers = {"Content-Disposition": 'attachment; filename="labels.csv"', "Cache-Control": "no-store"}
    return Response(content, media_type="text/csv; charset=utf-8", headers=headers)


@router.post("/forms/datasets/{dataset_id}/layout")
def answer(
    dataset_id: str,
    caller: CurrentCaller,
    form: Posted,
    session: WriteSession,
    notifier: AppNotifier,
    background: BackgroundTasks,
) -> Response:
    """One of the readings that the import offers was chosen."""
    dataset = datasets.answer(session, caller, dataset_id, text_of(form, "layout"))
    background.add_task(notifier.notify, queue.IMPORT_TASK, dataset.id)
    return seen(f"/datasets/{dataset.id}")


@router.post("/forms/datasets/{dataset_id}")
def act(dataset_id: str, caller: CurrentCaller, form: Posted, session: WriteSession, blobs: AppBlobs) -> Response:
    if text_of(form, "action") != "delete":
        raise InvalidRequest("A data set knows no such action.", param="action")
    datasets.delete(session, blobs, caller, dataset_id)
    return seen("/datasets")


async def _ready(request: Request, tenant: str, dataset_id: str) -> Dataset:
    def find(session: ReadSession) -> Dataset:
        row = datasets.find(session, tenant, dataset_id)
        datasets.require_ready(row)
        return row

    return await read_in_turn(request, find)


def _understood(dataset: Dataset) -> Understanding | None:
    """None where nothing was told, or another version told it in a way that this one cannot read."""
    try:
        return None if dataset.layout is None else Understanding.model_validate(dataset.layout)
    except ValidationError:
        return None


def _labels_csv(classes: tuple[str, ...], samples: tuple[Sample, ...], corrections: dict[str, str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "label", "split"))
    for sample in samples:
        if sample.label is None:  # an image without a label needs no line
            continue
        split = SPLIT_WORDS.get(sample.split, sample.split.value)
        writer.writerow((sample.name, corrections.get(sample.name, classes[sample.label]), split))
    return text.getvalue()
