"""A real Chromium with one page, driven through its DevTools protocol."""

import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

from tests.lacking import lacking
from tests.support import WAIT_SECONDS

POLL_SECONDS = 0.1
FLAGS = [
    "--headless",
    "--no-sandbox",  # which root cannot have
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--remote-debugging-port=0",
    "--host-resolver-rules=MAP *.test 127.0.0.1",
]


class Page:
    """What it asked for and what was refused to it is kept."""

    def __init__(self, tools: ClientConnection) -> None:
        self._tools, self._numbers = tools, itertools.count()
        self.requested: list[str] = []
        """Addresses, blocked ones too."""
        self.violations: list[str] = []
        """Of Content-Security-Policies."""
        for domain in ("Page", "Network", "Log"):
            self._send(f"{domain}.enable")

    def visit(self, url: str, until: str) -> None:
        """Open a page and wait until this JavaScript is true there."""
        self._send("Page.navigate", url=url)
        self.wait(until)

    def wait(self, until: str) -> None:
        give_up = time.monotonic() + WAIT_SECONDS
        while not self.evaluate(f"Boolean({until})"):
            assert time.monotonic() < give_up, self.evaluate("document.body.innerText")
            time.sleep(POLL_SECONDS)

    def evaluate(self, script: str) -> Any:
        return self._send("Runtime.evaluate", expression=script)["result"].get("value")

    def _send(self, method: str, **parameters: object) -> Any:
        number = next(self._numbers)
        self._tools.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            told = json.loads(self._tools.recv(timeout=WAIT_SECONDS))
            if told.get("id") == number:
                return told.get("result", {"result": {}})
            if told.get("method") == "Network.requestWillBeSent":
                self.requested.append(told["params"]["request"]["url"])
            elif (
                told.get("method") == "Log.entryAdded" and "Content Security Policy" in told["params"]["entry"]["text"]
            ):
                self.violations.append(told["params"]["entry"]["text"])


@contextmanager
def open_page(profile: Path) -> Iterator[Page]:
    browser = shutil.which("chromium") or lacking("no chromium is installed")
    command = [browser, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            with connect(_address(profile), max_size=None) as tools:
                yield Page(tools)
        finally:
            process.kill()


def _address(profile: Path) -> str:
    """Of the page's tools, once the browser is there."""
    give_up = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            port = (profile / "DevToolsActivePort").read_text().split("\n")[0]
            targets = httpx.get(f"http://127.0.0.1:{port}/json/list").json()
            return next(str(target["webSocketDebuggerUrl"]) for target in targets if target["type"] == "page")
        except (OSError, httpx.TransportError, StopIteration):
            assert time.monotonic() < give_up, "chromium does not start"
            time.sleep(POLL_SECONDS)
