"""The receiver of docs/webhooks.md as it stands there, told by an import worker as it is started."""

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.db.engine import Store
from app.db.models import Webhook, WebhookDelivery
from app.domain.access import Caller
from app.domain.addresses import Destinations
from app.domain.webhooks import ALL
from app.services import webhooks
from app.settings import Settings
from tests.databases import migrate
from tests.documents import code_blocks

CALLER = Caller("default", "local")
LOOPBACK = Destinations.parse("127.0.0.1")


def documented_receiver(root: Path, port: int) -> str:
    """The page's Python, on another port."""
    (code,) = code_blocks((root / "docs" / "webhooks.md").read_text(), "python")
    assert code.count("9000") == 1
    return code.replace("9000", str(port))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def started(command: list[str], environment: dict[str, str], output: Path) -> Iterator[None]:
    with output.open("wb") as file:
        process = subprocess.Popen(command, env=os.environ | environment, stdout=file, stderr=file)
    try:
        yield
        assert process.poll() is None, output.read_text()
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_the_documented_receiver_verifies_what_a_worker_sends(settings: Settings, tmp_path: Path) -> None:
    root, port = Path(__file__).resolve().parents[3], free_port()
    migrate(settings.database)
    store = Store(settings.database)
    url = f"http://127.0.0.1:{port}/"
    with store.write() as session:
        webhook = webhooks.create(
            session, CALLER, LOOPBACK, url=url, description="", event_types=ALL, enabled=True, most=1
        )
        delivery_id = webhooks.test(session, CALLER, webhook.id).id

    def ended() -> WebhookDelivery | None:
        with store.read() as session:
            row = session.get_one(WebhookDelivery, delivery_id)
        return row if row.state == "succeeded" else None

    receiver = [sys.executable, "-c", documented_receiver(root, port)]
    worker = [sys.executable, "-m", "app.cli", "worker", "--queue=datasets"]
    environment = {"TDMR_HOME": str(settings.root), "TDMR_OUTBOUND_ALLOW": "127.0.0.1"}
    said, log = tmp_path / "receiver.txt", tmp_path / "worker.txt"
    with contextlib.ExitStack() as running:
        running.enter_context(started(receiver, {"TDMR_WEBHOOK_SECRET": webhook.secret}, said))
        while not listens(port):  # a test is sent once
            time.sleep(0.05)
        running.enter_context(started(worker, environment, log))
        while (row := ended()) is None:  # pytest's own time limit ends it
            time.sleep(0.1)
        assert row.status == 204
        assert f"webhook.test {webhook.id}" in said.read_text()
        assert status_of_a_forgery(port, row) == 401
    with store.read() as session:
        assert session.get_one(Webhook, webhook.id).failing_since is None
    store.close()


def status_of_a_forgery(port: int, delivery: WebhookDelivery) -> int:
    """What the receiver says to the same body from somebody who does not know the secret."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"webhook-id": delivery.event_id, "webhook-timestamp": str(int(time.time()))}
    connection.request("POST", "/", delivery.body, headers | {"webhook-signature": "v1," + "A" * 43 + "="})
    status = connection.getresponse().status
    connection.close()
    return status
