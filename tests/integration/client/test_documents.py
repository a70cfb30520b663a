"""The examples in docs/client.md and docs/command.md run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.documents import code_blocks
from tests.integration.client.conftest import Front, ImportWorker
from tests.unit.client.folders import write_images

pytestmark = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)  # the pages speak of no database
DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture
def place(tmp_path: Path, front: Front, surroundings: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the photographs that the examples name."""
    write_images(tmp_path / "photos", ("cat", "dog"))
    Image.new("RGB", (40, 30), (20, 10, 10)).save(tmp_path / "cat.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TDMR_BASE_URL", front.url)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    return tmp_path


def test_client(place: Path, worker: ImportWorker, trainer: None) -> None:
    blocks = code_blocks((DOCS / "client.md").read_text(), "python")

    done = subprocess.run([sys.executable, "-c", "\n".join(blocks)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert re.search(r"^cat \d\d\.\d% \(dog", done.stdout, re.MULTILINE)
    assert "end succeeded" in done.stdout and "unknown_teacher" in done.stdout
    assert {path.name for path in (place / "flowers").iterdir()} >= {"README.md", "config.json", "model.safetensors"}
    assert list(place.glob("runs/job_*/events.*")) and list(place.glob("wandb/offline-run-*"))


def test_command(place: Path, worker: ImportWorker, trainer: None) -> None:
    blocks = code_blocks((DOCS / "command.md").read_text(), "sh")
    (place / "bin").mkdir()
    script = place / "bin" / "tdmr"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m tdmr.cli "$@"\n')
    script.chmod(0o755)
    environment = {**os.environ, "PATH": f"{place / 'bin'}:{os.environ['PATH']}"}

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "".join(blocks)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert re.search(r"^cat.jpg\tcat \d\d\.\d%\tdog", done.stdout, re.MULTILINE)
    assert re.search(r"^student +75.0%", done.stdout, re.MULTILINE)
