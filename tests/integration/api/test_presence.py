"""What nobody waits for ends: a request whose client has left, or was told that it gets no answer."""

import asyncio
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from fastapi import Request
from sqlalchemy import Engine, event
from starlette.requests import ClientDisconnect

from app.api import report_pages
from app.api.report_pages import PageSource, ReportPages
from app.domain.dataset import DatasetReport
from app.domain.errors import ReportsBusy
from app.reports.dataset_report import ReportedDataset
from app.storage.blobs import Blobs
from tests.integration.conftest import Service

REPORT = DatasetReport(classes=("a", "b"), images=2).model_dump(mode="json")


def scope(path: str) -> dict[str, Any]:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        "scheme": "http",
    }


class SlowBlobs(Blobs):
    """A storage that gives nothing before it is told to."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.go = threading.Event()
        self.asked = 0

    def open(self, key: str) -> BinaryIO:
        self.asked += 1
        self.go.wait()
        return super().open(key)


def source(number: int) -> PageSource:
    about = ReportedDataset(
        id=f"ds_{number}", name="a.zip", bytes=1, sha256="0" * 64, created_at=datetime(2026, 3, 1, tzinfo=UTC)
    )
    return PageSource(about, preview_key=f"datasets/{number}/preview.json", review_key=None)


def waiting_client(left: asyncio.Event) -> Request:
    async def receive() -> dict[str, str]:
        await left.wait()
        return {"type": "http.disconnect"}

    return Request(scope("/"), receive)


class TestTurn:
    @pytest.mark.parametrize("path", ["/v1/datasets", "/v1/jobs", "/v1/datasets/ds_1/report"])
    def test_of_a_client_that_has_left_goes_to_the_next(self, service: Service, path: str) -> None:
        statements: list[str] = []
        sent: list[Any] = []

        async def receive() -> dict[str, str]:
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        def note(_: object, __: object, statement: str, *___: object) -> None:
            statements.append(statement)

        assert service.http.portal is not None
        event.listen(Engine, "before_cursor_execute", note)
        try:
            service.http.portal.call(service.http.app, scope(path), receive, send)
        finally:
            event.remove(Engine, "before_cursor_execute", note)
        # uploads that are over are looked for at any time
        assert ([statement for statement in statements if "FROM uploads" not in statement], sent) == ([], [])


class TestPage:
    def test_of_a_client_that_has_left_is_not_begun(self, tmp_path: Path) -> None:
        blobs = SlowBlobs(tmp_path.as_uri())
        pages = ReportPages(blobs)

        async def ask() -> None:
            left = asyncio.Event()
            first = asyncio.create_task(pages.make(waiting_client(asyncio.Event()), source(1), REPORT, 60))
            second = asyncio.create_task(pages.make(waiting_client(left), source(2), REPORT, 60))
            while not blobs.asked:
                await asyncio.sleep(0.01)
            left.set()
            with pytest.raises(ClientDisconnect):
                await second
            blobs.go.set()
            assert b"a.zip" in await first

        try:
            asyncio.run(ask())
            assert blobs.asked == 1
        finally:
            blobs.go.set()
            pages.close()

    def test_that_many_wait_for_is_made_once(self, tmp_path: Path) -> None:
        blobs = SlowBlobs(tmp_path.as_uri())
        pages = ReportPages(blobs)

        async def ask() -> list[bytes]:
            left, here = asyncio.Event(), waiting_client(asyncio.Event())
            leaver = asyncio.create_task(pages.make(waiting_client(left), source(1), REPORT, 60))
            others = [
                asyncio.create_task(pages.make(here, source(1), REPORT, 60)) for _ in range(2 * report_pages.WAITING)
            ]
            while not blobs.asked:
                await asyncio.sleep(0.01)
            left.set()  # the one who began it is gone, and the others still get it
            with pytest.raises(ClientDisconnect):
                await leaver
            blobs.go.set()
            return await asyncio.gather(*others)

        try:
            assert len(set(asyncio.run(ask()))) == 1
            assert blobs.asked == 1
        finally:
            blobs.go.set()
            pages.close()

    def test_that_does_not_come_in_time_is_no_fault_of_the_storage(self, tmp_path: Path) -> None:
        blobs = SlowBlobs(tmp_path.as_uri())
        pages = ReportPages(blobs)

        async def ask() -> list[object]:
            here = waiting_client(asyncio.Event())
            asked = [pages.make(here, source(number), REPORT, 0.3) for number in range(report_pages.WAITING + 3)]
            return await asyncio.gather(*asked, return_exceptions=True)

        try:
            began = time.monotonic()
            assert {type(answer) for answer in asyncio.run(ask())} == {ReportsBusy}
            assert blobs.asked == 1
            assert time.monotonic() - began < 30
        finally:
            blobs.go.set()
            pages.close()
