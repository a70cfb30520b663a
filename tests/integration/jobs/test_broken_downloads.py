"""Downloads over a line that really breaks, resumed by curl; with 200 MB and kills: benchmarks/service/download.py."""

import shutil
from pathlib import Path

import pytest

from app.domain.files import sha256_file
from app.settings import Settings
from benchmarks.service.broken_line import BrokenLine
from benchmarks.service.download import NAME, download, publish, unzipped
from benchmarks.service.tus import write_random
from tests.databases import migrate
from tests.lacking import lacking
from tests.support import served

BYTES, CUTS = 3_000_000, [700_000, 900_000]


@pytest.mark.parametrize("what", [f"artifacts/{NAME}", "artifacts.zip"])
def test_a_download_that_broke_twice_is_the_same_in_the_end(what: str, settings: Settings, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        lacking("no curl")
    source, target = tmp_path / "source", tmp_path / "target"
    write_random(source, BYTES)
    migrate(settings.database)
    job_id = publish(settings, source)
    with served(settings) as (host, port), BrokenLine(host, port, CUTS) as line:
        broke_at = download(f"http://127.0.0.1:{line.port}/v1/jobs/{job_id}/{what}", target)
        assert line.breaks == len(broke_at) == 2
    assert 0 < broke_at[0] < broke_at[1] < BYTES
    assert sha256_file(unzipped(target) if what.endswith("zip") else target) == sha256_file(source)
