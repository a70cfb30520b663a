"""Clients that are generated from the OpenAPI document upload, train and download, with type checks on."""

import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import environ
from pathlib import Path

import pytest

from tests.clients.conftest import KEY, Running
from tests.documents import code_blocks
from tests.lacking import lacking

HERE = Path(__file__).parent
INSTALL_SECONDS, RUN_SECONDS = 900, 1200
DONE = "downloaded 11 bytes"
"""The stand-in's student."""


@pytest.mark.timeout(2 * RUN_SECONDS)
def test_a_python_client_takes_a_job_all_the_way(running: Running, tmp_path: Path) -> None:
    generate = [sys.executable, "-m", "openapi_python_client", "generate", "--meta=none", f"--path={running.document}"]
    generate += [f"--config={HERE / 'python' / 'config.yml'}", f"--output-path={tmp_path / 'tdmr_client'}"]
    assert "Endpoint will not be generated" not in run(generate, tmp_path)
    program = shutil.copy(HERE / "python" / "use.py", tmp_path)
    checked = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", f"--cache-dir={tmp_path / 'mypy'}"]
    run([*checked, "--config-file=", program], tmp_path)
    assert DONE in run([sys.executable, program], tmp_path, running.environment())


@pytest.mark.timeout(INSTALL_SECONDS + 2 * RUN_SECONDS)
def test_a_typescript_client_takes_a_job_all_the_way(
    running: Running, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    assert pytestconfig.cache is not None
    packages = node_packages(pytestconfig.cache.mkdir("clients"))
    shutil.copytree(HERE / "typescript", tmp_path, dirs_exist_ok=True)
    (tmp_path / "node_modules").symlink_to(packages)
    run(["node", "generate.mjs", str(running.document), "api.ts"], tmp_path)
    run(["node", "node_modules/typescript/bin/tsc", "--project", "tsconfig.json"], tmp_path)
    assert DONE in run(["node", "built/use.js"], tmp_path, running.environment())


def test_curl_does_what_the_page_says(running: Running, tmp_path: Path) -> None:
    page = (HERE.parents[1] / "docs" / "api.md").read_text()
    section = page.partition("## By hand, with curl\n")[2].partition("\n## ")[0]
    blocks = code_blocks(section, "sh")
    (tmp_path / "demo-out").mkdir()
    shutil.copy(running.archive, tmp_path / "demo-out" / "digits.zip")
    (tmp_path / ".curlrc").write_text(f'header = "Authorization: Bearer {KEY}"\n')
    script = "".join(blocks).replace("http://127.0.0.1:8000", running.url)
    said = run(["bash", "-euxo", "pipefail", "-c", script], tmp_path, {"HOME": str(tmp_path)})
    assert "event: end" in said
    assert (tmp_path / "student.onnx").read_bytes() == (tmp_path / "model" / "student.onnx").read_bytes()
    assert json.loads((tmp_path / "model" / "manifest.json").read_text())["files"]


def node_packages(cache: Path) -> Path:
    """The `node_modules` of package.json, installed once and kept beside pytest's other caches."""
    for command in ("node", "npm"):
        if shutil.which(command) is None:
            lacking(f"no {command} is installed")
    wanted = (HERE / "typescript" / "package.json").read_bytes()
    folder = cache / hashlib.sha256(wanted).hexdigest()[:16]
    with locked(cache / "lock"):
        if not (folder / "installed").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            (folder / "package.json").write_bytes(wanted)
            command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
            installed = subprocess.run(
                command, cwd=folder, check=False, capture_output=True, text=True, timeout=INSTALL_SECONDS
            )
            if installed.returncode:
                lacking(f"npm cannot install the packages: {installed.stderr[-1000:]}")
            (folder / "installed").touch()
    return folder / "node_modules"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run(command: Sequence[str], folder: Path, more: Mapping[str, str] | None = None) -> str:
    """What it prints. It must succeed."""
    ended = subprocess.run(
        command,
        check=False,
        cwd=folder,
        env={**environ, **(more or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=RUN_SECONDS,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout
