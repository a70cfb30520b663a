"""Data sets: upload, wait, read the report."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr

from tdmr import models
from tdmr._async import _io
from tdmr._async._pages import AsyncPages
from tdmr._async._transport import AsyncTransport
from tdmr._async._uploading import upload
from tdmr._bound import adopt, parse
from tdmr._display import card_html
from tdmr._sources import is_address, source_of
from tdmr._waiting import Deadline
from tdmr.errors import DatasetRejected, DatasetUnclear
from tdmr.progress import Display, display_for

if TYPE_CHECKING:
    from typing_extensions import Self

_WAIT_SECONDS = 30
"""How long the service holds a request back until something has changed."""


class AsyncDataset(models.Dataset):
    """A data set, and what can be done with it."""

    _datasets: AsyncDatasets = PrivateAttr()

    @classmethod
    def bound(cls, datasets: AsyncDatasets, data: Mapping[str, Any]) -> Self:
        """A data set that knows where it comes from."""
        dataset = parse(cls, data)
        dataset._datasets = datasets
        return dataset

    async def refresh(self) -> Self:
        """Read it anew."""
        return adopt(self, await self._datasets.get(self.id))

    async def wait(self, *, progress: bool | Display = False, timeout: float | None = None) -> Self:
        """Wait until the service has checked every file.

        Raises:
            DatasetRejected: it cannot be used; the message says why.
            DatasetUnclear: it has to be said which classes it has; `choose` does.
            TimedOut: it takes longer than `timeout` seconds. The import goes on.
        """
        display, deadline = display_for(progress), Deadline(timeout)
        try:
            while self.state == "validating":
                display.show(f"Checking {self.name}", self.progress)
                wait = deadline.at_most(_WAIT_SECONDS, f"the data set {self.id}")
                adopt(self, await self._datasets.get(self.id, wait=wait))
            if self.state == "rejected":
                raise DatasetRejected(self.id, self.error)
            if self.state == "needs_answer":
                raise DatasetUnclear(self.id, self.name, self.layout.readings if self.layout else ())
            display.show(f"Checking {self.name}", 1.0, _contents(self))
        finally:
            display.close()
        return self

    async def choose(self, layout: str, *, progress: bool | Display = False, timeout: float | None = None) -> Self:
        """Say which of the offered ways to read the archive is meant, and wait until it has been read so.

        Args:
            layout: the id of one of `layout.readings`.
            timeout: seconds to wait for the import.

        Raises:
            UnknownLayout: there is no such reading; the message names those that there are.
            StateConflict: nothing was asked.
            DatasetRejected: read like this it cannot be used.
        """
        adopt(self, await self._datasets.choose(self.id, layout))
        return await self.wait(progress=progress, timeout=timeout)

    async def report(self) -> models.DatasetReport:
        """What the import found: images per class and split, skipped files, duplicates, leaks, advice."""
        return await self._datasets.report(self.id)

    async def delete(self) -> None:
        """Delete it with its files; refused while a job that has not ended uses it."""
        await self._datasets.delete(self.id)

    def __repr__(self) -> str:
        contents = _contents(self)
        return f"<{type(self).__name__} {self.id} {self.name!r} {self.state}{f', {contents}' if contents else ''}>"

    def __str__(self) -> str:
        return repr(self)

    def _repr_html_(self) -> str:
        counts = ", ".join(f"{count:,} {split}" for split, count in (self.counts or {}).items()) or None
        classes = ", ".join((self.classes or [])[:10]) + (", …" if len(self.classes or []) > 10 else "")
        rows = {"id": self.id, "images": counts, "classes": self.class_count, "named": classes or None}
        return card_html(self.name, self.state, rows | {"rejected": self.error.detail if self.error else None})


class AsyncDatasets:
    """`client.datasets`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(
        self,
        data: str | os.PathLike[str],
        *,
        name: str | None = None,
        wait: bool = True,
        progress: bool | Display = True,
        timeout: float | None = None,
        relay: bool = False,
        layout: str | None = None,
        encoding: str | None = None,
        labels_column: str | None = None,
        unlabelled_classes: Iterable[str] = (),
        stretch: bool = False,
    ) -> AsyncDataset:
        """Upload images and wait until the service has checked them.

        Args:
            data: a folder, an archive (zip, tar, tar.gz, tar.zst, parquet), or the address of one: `https://…`, or
                `s3://…` in a bucket that the service's operator has opened. Of a folder everything is sent but
                dot-files and what systems leave behind; links are followed. An upload that is interrupted, even by the
                end of this process, goes on when the same call is made again. What an address leads to the service
                fetches itself.
            name: what the data set is called, the name of the folder or file unless given.
            wait: also wait for the import. Without it the data set may still turn out to be rejected.
            timeout: seconds to wait for the import.
            relay: read an https address here and upload it, for one that only this machine reaches.
            layout: how it is to be read, where it can be read in several ways: the id of a reading or what it begins
                with, such as `folders:2`, `table:train.csv` or `names`.
            encoding: of tables and of names in a zip that are not UTF-8: `gbk`, `cp932`.
            labels_column: the heading of the column that tells the class.
            unlabelled_classes: names of classes that mean that there is no label.
            stretch: spread values of images with more than 8 bits over their whole range.

        Raises:
            UploadFailed: it cannot be read.
            APIError: the service may not fetch it (`destination_refused`, `bucket_refused`).
            DatasetRejected: the service cannot fetch or use it.
            DatasetUnclear: it has to be said which classes it has. It is kept: `client.datasets.choose` says it.
        """
        said: dict[str, Any] = {"name": name, "layout": layout, "encoding": encoding, "labels_column": labels_column}
        said |= {"unlabelled_classes": list(unlabelled_classes) or None, "stretch": stretch or None}
        said = {key: value for key, value in said.items() if value is not None}
        if isinstance(data, str) and is_address(data) and not relay:
            asked = {"source_url": data} | said
            found = await self._transport.json("POST", "/v1/datasets", json=asked, repeatable=True)
            dataset = AsyncDataset.bound(self, found)
            return await dataset.wait(progress=progress, timeout=timeout) if wait else dataset
        display = display_for(progress)
        source = await _io.in_thread(source_of, data)
        try:
            upload_id, memory = await upload(self._transport, source, display)
        finally:
            display.close()
        body = {"upload_id": upload_id} | said
        # the same upload gives the same data set, however often it is asked for
        found = await self._transport.json("POST", "/v1/datasets", json=body, repeatable=True)
        await _io.in_thread(memory.forget)
        dataset = AsyncDataset.bound(self, found)
        return await dataset.wait(progress=progress, timeout=timeout) if wait else dataset

    async def get(self, dataset_id: str, *, wait: float | None = None) -> AsyncDataset:
        """
        Args:
            wait: seconds to wait for a change first; at most 60.
        """
        params = {} if wait is None else {"wait": round(wait)}
        found = await self._transport.json("GET", f"/v1/datasets/{dataset_id}", params=params)
        return AsyncDataset.bound(self, found)

    async def choose(self, dataset_id: str, layout: str) -> AsyncDataset:
        """Say which of the offered ways to read an archive is meant: the id of one of its `layout.readings`. The import
        goes on; `wait` waits for it."""
        found = await self._transport.json("POST", f"/v1/datasets/{dataset_id}/layout", json={"layout": layout})
        return AsyncDataset.bound(self, found)

    def list(self, *, limit: int | None = None) -> AsyncPages[models.DatasetSummary]:
        """All data sets, newest first; their classes are counted but not named."""
        return AsyncPages(self._transport, "/v1/datasets", models.DatasetSummary.model_validate, {}, limit)

    def classes(self, dataset_id: str, *, limit: int | None = None) -> AsyncPages[models.DatasetClass]:
        """All classes in the order of a student's outputs, with their images per split."""
        path = f"/v1/datasets/{dataset_id}/classes"
        return AsyncPages(self._transport, path, models.DatasetClass.model_validate, {}, limit)

    async def report(self, dataset_id: str) -> models.DatasetReport:
        """What the import found."""
        found = await self._transport.json("GET", f"/v1/datasets/{dataset_id}/report", params={"format": "json"})
        return parse(models.DatasetReport, found)

    async def report_html(self, dataset_id: str) -> str:
        """The report as one page with thumbnails, to save and share."""
        response = await self._transport.request("GET", f"/v1/datasets/{dataset_id}/report", params={"format": "html"})
        return response.text

    async def delete(self, dataset_id: str) -> None:
        """Delete it with its files."""
        await self._transport.request("DELETE", f"/v1/datasets/{dataset_id}")


def _contents(dataset: models.Dataset) -> str:
    if dataset.images is None:
        return ""
    return f"{dataset.images:,} images, {dataset.class_count:,} classes"
