"""The wall clock jumps by an hour, on the worker that runs a job and on the one that watches it."""

import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from checker import Stopwatch, check
from stack import Stack, wait_for

from app.db.models import utcnow
from app.domain.files import replaced_atomically
from app.domain.states import JobState
from tests.lacking import lacking


class Clock:
    """The wall clock of the processes that get its environment."""

    def __init__(self, library: Path, file: Path) -> None:
        self._file = file
        self.jump(0)
        self.environment = {"LD_PRELOAD": str(library), "FAULT_CLOCK": str(file)}

    def jump(self, hours: int) -> None:
        with replaced_atomically(self._file) as temporary:
            temporary.write_text(str(hours * 3600))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """clock.c, compiled."""
    compiler = shutil.which("cc")
    if compiler is None:
        lacking("no C compiler")
    library = tmp_path_factory.mktemp("clock") / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return library


@pytest.mark.slow_fault
@pytest.mark.parametrize("hours", [1, -1])
def test_fault_row10_the_wall_clock_jumps(
    stack: Stack, dataset: str, library: Path, tmp_path: Path, stopwatch: Stopwatch, hours: int
) -> None:
    runs, watches = Clock(library, tmp_path / "runs"), Clock(library, tmp_path / "watches")
    stack.start_api()
    stack.start_worker(**runs.environment)
    stack.hold(1)
    job_id = stack.submit(dataset_id=dataset)
    stack.child(job_id)
    watcher = stack.start_worker(**watches.environment)
    wait_for(lambda: any("serves the queue" in line for line in watcher.said()))
    lease = float(stack.environment["TDMR_LEASE_SECONDS"])

    for clock in (runs, watches):
        clock.jump(hours)
        with pytest.raises(AssertionError):
            wait_for(lambda: stack.job(job_id).epoch > 1, seconds=1.5 * lease)
        beats = stack.job(job_id).hb_seq
        wait_for(lambda beats=beats: stack.job(job_id).hb_seq > beats)
    stopwatch.start()
    stack.let_go()

    stack.wait_for_end(job_id)
    stopwatch.stop()
    job = stack.job(job_id)
    assert (job.state, job.epoch) == (JobState.SUCCEEDED, 1)
    assert job.finished_at is not None
    shift = job.finished_at - utcnow()  # so the clock of the worker had really jumped
    assert abs(shift - timedelta(hours=hours)) < timedelta(minutes=10)
    check(stack)
