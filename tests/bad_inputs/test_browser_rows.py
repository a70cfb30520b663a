"""Rows 75 and 76 of the bad inputs, in real Chromium: pages of other origins and a rebound name against a service
without a key; and the service's own page."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from app.db.engine import Store
from app.db.ids import new_id
from app.db.models import Dataset
from app.domain.dataset import DatasetReport, Split
from app.services.dataset_leases import accept_dataset, claim_dataset
from app.settings import Settings
from tests.bad_inputs.chromium import Page, open_page
from tests.support import WAIT_SECONDS, served

SEEN, OVER = "document.querySelector('ol').innerText", "document.querySelector('ol')?.innerText.includes('over')"
PAGE = """\
<!DOCTYPE html>
<iframe name="sink"></iframe>
<form method="post" enctype="multipart/form-data" target="sink" action="SERVICE/v1/datasets">
<input type="file" name="file"></form>
<ol></ol>
<script>
const archive = () => new File(["no archive, but bytes"], "planted.zip");
const form = () => { const data = new FormData(); data.append("file", archive()); return data; };
const tell = (text) => document.querySelector("ol").append(text + "; ");
const attempt = (name, answer) => answer.then(
  (answer) => tell(`${name}: ${answer.type} ${answer.status}`), () => tell(`${name}: refused`));
(async () => {
  const files = new DataTransfer();
  files.items.add(archive());
  document.querySelector("input").files = files.files;
  const landed = new Promise((resolve) => document.querySelector("iframe").onload = resolve);
  document.querySelector("form").submit();
  await landed;
  await attempt("no-cors", fetch("SERVICE/v1/datasets", {method: "POST", mode: "no-cors", body: form()}));
  await attempt("post", fetch("SERVICE/v1/datasets", {method: "POST", body: form()}));
  await attempt("get", fetch("SERVICE/v1/datasets"));
  const json = {method: "POST", headers: {"Content-Type": "application/json"}, body: '{"name": "planted"}'};
  await attempt("json", fetch("SERVICE/v1/keys", json));
  navigator.sendBeacon("SERVICE/v1/datasets", form());
  tell("over");
})();
</script>
"""


@dataclass(frozen=True)
class Service:
    """Without a key, on loopback; and the site of an attacker."""

    url: str
    attacker: int
    """Its port. Under `/attack` it serves its page, any other path it passes on to the service: to a browser that is a
    name that first led to the one and then to the other."""

    def planted(self) -> list[str]:
        """What the attacker has achieved."""
        with httpx.Client(base_url=self.url, timeout=WAIT_SECONDS) as http:
            found = http.get("/v1/datasets").json()["data"] + http.get("/v1/keys").json()["data"]
            return [item["name"] for item in found]


@pytest.fixture
def service(settings: Settings) -> Iterator[Service]:
    with served(settings) as address, socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=attack, args=(listener, address))
        thread.start()
        yield Service(f"http://127.0.0.1:{address[1]}", listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)  # close() alone would leave accept() waiting
        thread.join()


def attack(listener: socket.socket, service: tuple[str, int]) -> None:
    with suppress(OSError):
        while True:
            browser, _ = listener.accept()
            threading.Thread(target=answer, args=(browser, service), daemon=True).start()


def answer(browser: socket.socket, service: tuple[str, int]) -> None:
    with browser, suppress(OSError):
        begun = browser.recv(65536)
        path, _, query = begun.split(b" ", 2)[1].decode().partition("?") if begun else ("", "", "")
        if path == "/attack":
            page = PAGE.replace("SERVICE", query).encode()
            head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: "
            browser.sendall(f"{head}{len(page)}\r\n\r\n".encode() + page)
            return
        with socket.create_connection(service) as connection:
            connection.sendall(begun)
            threading.Thread(target=pump, args=(browser, connection), daemon=True).start()
            pump(connection, browser)


def pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with open_page(tmp_path / "profile") as page:
        yield page


@pytest.mark.parametrize("name", ["evil.test", "localhost"])  # another site; the same site on another port
def test_bad_input_row75_a_page_of_another_origin_changes_nothing(
    service: Service, page: Page, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    page.visit(f"http://{name}:{service.attacker}/attack?{service.url}", until=OVER)

    seen = page.evaluate(SEEN)
    assert "post: refused; get: refused; json: refused; over;" in seen
    give_up = time.monotonic() + WAIT_SECONDS
    while (
        len(posts := [vars(record)["status"] for record in caplog.records if vars(record).get("method") == "POST"]) < 4
    ):
        assert time.monotonic() < give_up, "form, no-cors, post and beacon did not all arrive"
        time.sleep(0.05)
    assert set(posts) == {403}
    assert service.planted() == []
    assert any("frame-ancestors" in violation for violation in page.violations)  # nor is an answer shown in its frame


def test_bad_input_row76_a_rebound_name_gets_nothing(service: Service, page: Page) -> None:
    page.visit(f"http://rebound.test:{service.attacker}/attack", until=OVER)

    seen = page.evaluate(SEEN)
    assert "no-cors: basic 403; post: basic 403; get: basic 403; json: basic 403; over;" in seen
    assert service.planted() == []


def test_the_reference_works_and_asks_nobody_but_its_service(service: Service, page: Page) -> None:
    opened = "#operations-jobs-create_job.is-open textarea, #operations-jobs-create_job.is-open pre"
    page.visit(f"{service.url}/docs#/jobs/create_job", until=f"document.querySelector('{opened}')")

    assert page.evaluate("document.querySelectorAll('.opblock').length") > 30
    assert page.violations == []
    foreign = [url for url in page.requested if not url.startswith((f"{service.url}/", "data:image/"))]
    assert (foreign, len(page.requested) > 4) == ([], True)
    page.evaluate(
        """fetch("v1/keys", {method: "POST", headers: {"Content-Type": "application/json"}, body: '{"name": "mine"}'})
        .then((answer) => location.hash = answer.status)"""
    )
    page.wait("location.hash == '#201'")
    assert service.planted() == ["mine"]


def test_the_report_of_a_data_set_keeps_to_its_policy(service: Service, page: Page, settings: Settings) -> None:
    """Its style sheet is the one that the policy names by its hash."""
    dataset_id, store = new_id("ds"), Store(settings.database)
    report = DatasetReport(classes=("a", "b"), counts={Split.TRAIN: {"a": 2, "b": 4}}, images=6, digest="d" * 64)
    with store.write() as session:
        session.add(Dataset(id=dataset_id, name="a.zip", bytes=3, sha256="0" * 64, upload_key=f"uploads/{dataset_id}"))
        session.flush()
        claim = claim_dataset(session, dataset_id, "wk_1")
        assert claim and accept_dataset(session, claim, f"datasets/{dataset_id}/e1/prepared.zip", report)
    store.close()

    page.visit(f"{service.url}/v1/datasets/{dataset_id}/report?format=html", until="document.querySelector('main')")

    assert page.violations == []
    assert page.evaluate("getComputedStyle(document.querySelector('main')).maxWidth") == "1080px"
    widths = "[...document.querySelectorAll('.bar svg')].map((bar) => bar.clientWidth > 0).join()"
    assert page.evaluate(widths) == "true,false,false,true,false,false"
