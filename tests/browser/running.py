"""A running service, and a browser that notes whatever it must not see."""

import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Page

from tests.support import WAIT_SECONDS

sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))

from stack import Process, Stack

AXE = Path(__file__).with_name("axe.min.js")
WORKER = Path(__file__).with_name("training_worker.py")
KEY = "tdmr_browser"
NOTE_VIOLATIONS = """
window.violations = [];
addEventListener("securitypolicyviolation", (event) =>
  violations.push(event.violatedDirective + " " + event.blockedURI));
"""


@dataclass
class Service:
    """Processes of one service on one port, with a child of the test's own in the place of training."""

    stack: Stack
    port: int
    changes: dict[str, str] = field(default_factory=dict)
    api: Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start_api(self) -> None:
        (self.stack.home / "service.json").unlink(missing_ok=True)
        command = [sys.executable, "-m", "app.cli", "api", f"--port={self.port}"]
        self.api = self.stack._start("api", command, self.stack.home, self.changes)
        self.stack._wait_for((self.stack.home / "service.json").exists)

    def start_workers(self) -> None:
        imports = [sys.executable, "-m", "app.cli", "worker", "--queue=datasets"]
        self.stack.start_worker("imports", imports)
        self.stack.start_worker("training", [sys.executable, str(WORKER), str(self.stack.control)])


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Watched:
    """A person's browser. What its pages asked for and what was refused to them is kept."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.requested: list[str] = []
        self.complaints: list[str] = []
        context.set_default_timeout(1000 * WAIT_SECONDS)
        context.add_init_script(NOTE_VIOLATIONS)
        context.on("request", lambda request: self.requested.append(request.url))
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("console", self._hear)

    def page(self, url: str) -> Page:
        page = self.context.new_page()
        page.goto(url)
        return page

    def _hear(self, message: Any) -> None:
        if "Content Security Policy" in message.text:
            self.complaints.append(message.text)

    def require_clean(self, url: str) -> None:
        """No script failed, no policy was broken, no other host was asked."""
        for page in self.context.pages:
            self.complaints += page.evaluate("window.violations || []")
        assert self.complaints == []
        own = (url, "data:", "blob:", "about:")
        assert [each for each in self.requested if not each.startswith(own)] == []


def axe(page: Page) -> list[str]:
    """What axe-core finds wrong, in words."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run().then((result) => result.violations)")
    return [f"{each['id']}: {each['nodes'][0]['html'][:160]} ({len(each['nodes'])})" for each in found]
