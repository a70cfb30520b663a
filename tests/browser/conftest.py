"""A service and a Chromium for each test.

Playwright keeps an event loop running in its thread for as long as it is started: a browser that outlived its test
would make `asyncio.run` fail in every test after it.
"""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Playwright, expect, sync_playwright

from tests.browser.running import Service, Stack, Watched, free_port
from tests.lacking import lacking
from tests.support import WAIT_SECONDS

CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
"""One that shows a moving picture, and is allowed to every page."""
PATIENT = {"TDMR_HEARTBEAT_SECONDS": "1", "TDMR_FENCE_SECONDS": "100", "TDMR_LEASE_SECONDS": "200"}
"""No worker is lost in these tests, however busy the machine is."""


@pytest.fixture
def make_service(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    made: list[Stack] = []

    def make(**changes: str) -> Service:
        stack = Stack(tmp_path / "stack", {"TDMR_STORAGE_URL": (tmp_path / "blobs").as_uri()}, one_home=True)
        stack.environment |= PATIENT
        made.append(stack)
        service = Service(stack, free_port(), {"TDMR_REQUEST_SECONDS": "120", **changes})
        service.start_workers()
        service.start_api()
        return service

    try:
        yield make
    finally:
        for stack in made:
            sys.stdout.write(stack.logs())  # shown when the test fails
            stack.close()


@pytest.fixture
def service(make_service: Callable[..., Service]) -> Service:
    """Empty, on loopback, without a key."""
    return make_service()


@pytest.fixture
def playwright() -> Iterator[Playwright]:
    expect.set_options(timeout=1000 * WAIT_SECONDS)
    with sync_playwright() as started:
        yield started


@pytest.fixture
def chromium(playwright: Playwright) -> Iterator[Browser]:
    path = shutil.which("chromium") or lacking("no chromium is installed")
    browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", *CAMERA])  # no root can have one
    yield browser
    browser.close()


@pytest.fixture
def person(chromium: Browser) -> Iterator[Callable[..., Watched]]:
    """Browsers that know nothing of each other."""
    opened: list[BrowserContext] = []

    def open_(**options: Any) -> Watched:
        opened.append(chromium.new_context(**options))
        return Watched(opened[-1])

    yield open_
    for context in opened:
        context.close()
