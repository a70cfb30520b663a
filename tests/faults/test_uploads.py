"""The API dies in the middle of an upload that a stock tus client makes."""

import hashlib
import os
import sys
from pathlib import Path

import httpx
import psutil
import pytest
from checker import Stopwatch, check
from stack import Stack
from tusclient.client import TusClient
from tusclient.exceptions import TusUploadFailed

from app.cli.common import read_url
from app.storage.keys import upload_key

LENGTH = 40 * 2**20
KILLED_AFTER = 12
"""Pieces of a mebibyte that one life of the API writes."""
MOST_GROWTH = 64 * 2**20


def test_fault_row11_the_api_dies_in_an_upload(stack: Stack, tmp_path: Path, stopwatch: Stopwatch) -> None:
    source = tmp_path / "archive.zip"
    source.write_bytes(os.urandom(LENGTH))
    path, offset = "", 0

    for _ in range(2):
        api = stack.start_api(FAULT_POINT=f"upload_piece:{KILLED_AFTER}")
        base = read_url(stack.settings)
        # each life listens elsewhere, so it is for us to go on, and not for the client's own retries
        uploader = TusClient(f"{base}/v1/uploads").uploader(str(source), url=base + path if path else None)
        assert uploader.offset == offset
        with pytest.raises(TusUploadFailed):
            uploader.upload()
        assert api.wait() == -9
        path = uploader.url.removeprefix(base)
        offset = (stack.settings.partial_uploads / path.rpartition("/")[2]).stat().st_size
        assert offset > 0
    assert 2 * KILLED_AFTER * 2**20 <= offset < LENGTH
    stopwatch.start()

    api = stack.start_api()
    base = read_url(stack.settings)
    before = psutil.Process(api.pid).memory_info().rss
    uploader = TusClient(f"{base}/v1/uploads").uploader(str(source), url=base + path)
    assert uploader.offset == offset
    uploader.upload()
    made = httpx.post(f"{base}/v1/datasets", json={"upload_id": path.rpartition("/")[2]}, timeout=60).json()

    stopwatch.stop()
    growth = psutil.Process(api.pid).memory_info().rss - before
    sys.stdout.write(f"the API's memory grew by {growth / 2**20:.1f} MiB\n")
    assert growth < MOST_GROWTH
    assert made["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    with stack.blobs.open(upload_key(made["id"])) as stored:
        assert hashlib.file_digest(stored, "sha256").hexdigest() == made["sha256"]  # type: ignore[arg-type]
    assert list(stack.settings.partial_uploads.iterdir()) == []
    check(stack)
