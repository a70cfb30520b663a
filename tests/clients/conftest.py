"""A running service with a key: the API, an import worker, and a training worker whose training is a stand-in."""

import hashlib
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx
import pytest
from PIL import Image

from app.cli.common import read_url
from app.settings import Settings
from tests.databases import migrate

Found = TypeVar("Found")
WAIT_SECONDS = 600.0
KEY = "a key for the test"
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Running:
    """Where the service is, what is to be uploaded, and the document that clients are made of."""

    url: str
    archive: Path
    document: Path

    def environment(self) -> dict[str, str]:
        """What the programs under test are told."""
        sha256 = hashlib.sha256(self.archive.read_bytes()).hexdigest()
        return {"SERVICE": self.url, "KEY": KEY, "ARCHIVE": str(self.archive), "ARCHIVE_SHA256": sha256}


@pytest.fixture
def running(tmp_path: Path, redis_url: str) -> Iterator[Running]:
    folder = tmp_path / "service"
    folder.mkdir()
    settings = Settings(home=folder / "home")
    # a request may take as long as a busy machine needs
    changes = {"TDMR_HOME": str(settings.root), "TDMR_API_KEY": KEY, "TDMR_REQUEST_SECONDS": "240"}
    changes["TDMR_BROKER_URL"] = redis_url
    environment = {**os.environ, **changes}
    tdmr = [sys.executable, "-m", "app.cli"]
    commands = [
        [*tdmr, "api", "--port=0"],
        [*tdmr, "worker", "--queue=datasets"],
        [sys.executable, str(HERE / "training_worker.py"), str(folder)],
    ]
    migrate(settings.database)
    with (folder / "log").open("wb") as log:
        processes = [subprocess.Popen(command, env=environment, stdout=log, stderr=log) for command in commands]
    try:
        url = _awaited(lambda: read_url(settings))
        assert url is not None
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {KEY}"}, timeout=WAIT_SECONDS) as http:
            _awaited(lambda: http.get("/v1/students").status_code == httpx.codes.OK)  # its worker has registered
            document = folder / "openapi.json"
            document.write_bytes(http.get("/openapi.json").raise_for_status().content)
        yield Running(url, _archive(folder), document)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(WAIT_SECONDS)
        sys.stdout.write((folder / "log").read_text(errors="replace")[-5000:])  # shown when a test fails


def _awaited(found: Callable[[], Found]) -> Found:
    deadline = time.monotonic() + WAIT_SECONDS
    while not (value := found()):
        assert time.monotonic() < deadline, "waited for too long"
        time.sleep(0.1)
    return value


def _archive(folder: Path) -> Path:
    """Sixteen small images of two classes. Deflated, it holds bytes that are no text."""
    archive = folder / "digits.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(16):
            image = folder / f"{number}.png"
            Image.effect_noise((32, 32), 10 + number).save(image)
            file.write(image, f"{number % 2}/{number}.png")
    return archive
