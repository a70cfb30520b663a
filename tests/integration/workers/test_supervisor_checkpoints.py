"""A job's checkpoints on their way from host to host: at a pause, from time to time, to a retry; damaged, or gone."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.db.models import DEFAULT_TENANT
from app.db.queries import jobs as queries
from app.domain.access import Caller
from app.domain.catalog import Catalog, StudentCard
from app.domain.states import JobState, StopRequest
from app.services import catalog, job_actions, reaping
from app.storage.keys import checkpoint_key
from tests.integration.supervising import Harness, is_gone, wait_for
from worker.checkpoints import unpack

CATALOG = Catalog(teachers=(), students=(StudentCard(name="test_vit", family="vision_transformer", parameters=1),))
HALF_WAY = 10
"""The step at which the child waits; it saves each of its 20."""


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    """A folder that makes the child of attempt 1 wait half way."""
    folder = tmp_path / "orders"
    folder.mkdir()
    (folder / "hold").write_text("1")
    return folder


@contextmanager
def half_way(harness: Harness, job_id: str, orders: Path) -> Iterator[int]:
    """The process id of a child that waits half way; at the end of the block its supervisor has left."""
    with harness.running(f"obeys {orders}"):
        wait_for((harness.out(job_id) / "half way").exists)
        yield int((harness.out(job_id) / "pid").read_text())


def stored_step(harness: Harness, key: str, folder: Path) -> int:
    """The step of a checkpoint in the storage."""
    harness.blobs.fetch(key, folder / "copy.tar")
    unpack(folder / "copy.tar", folder / "copy")
    return int((folder / "copy" / "checkpoints" / "steps.ckpt").read_text())


def spoil(harness: Harness, key: str, fault: str, local: Path) -> None:
    harness.blobs.fetch(key, local)
    harness.blobs.delete(key)
    content = bytearray(local.read_bytes())
    if fault == "missing":
        return
    if fault == "truncated":
        del content[len(content) // 2 :]
    else:
        content[content.index(b"steps.ckpt") + 600] ^= 1  # behind the header of 512 bytes, which has a checksum itself
    local.write_bytes(content)
    harness.blobs.put_file(key, local)


def steps_of(harness: Harness, job_id: str, epoch: int) -> list[int]:
    """Without the stand-in's last two lines, which it says however it behaves."""
    steps = harness.steps(job_id, epoch)
    return (
        steps[:-2] if harness.job(job_id).state == JobState.SUCCEEDED and epoch == harness.job(job_id).epoch else steps
    )


class TestPause:
    def test_stores_the_checkpoint_and_another_host_goes_on_from_it(
        self, harness: Harness, orders: Path, tmp_path: Path
    ) -> None:
        job_id = harness.submit()

        with half_way(harness, job_id, orders) as pid:
            harness.ask(job_id, StopRequest.PAUSE)

        paused = harness.job(job_id)
        assert (paused.state, paused.stop_requested, paused.worker_id) == (JobState.PAUSED, None, None)
        assert is_gone(pid)
        assert paused.checkpoint_key == checkpoint_key(job_id, 1)
        assert stored_step(harness, paused.checkpoint_key, tmp_path) == HALF_WAY
        harness.supervisor().run_next()
        assert harness.job(job_id).epoch == 1  # it waits for its user, not for a worker

        with harness.store.write() as session:
            job_actions.resume(session, harness.settings.quotas, Caller(DEFAULT_TENANT, "local"), job_id)
        elsewhere = harness.elsewhere()
        elsewhere.supervisor(f"obeys {orders}").run_next()

        done = harness.job(job_id)
        assert (done.state, done.epoch) == (JobState.SUCCEEDED, 2)
        assert ("info", "resumed") in harness.events(job_id)
        assert (steps_of(harness, job_id, 1), steps_of(harness, job_id, 2)) == (
            list(range(1, HALF_WAY + 1)),
            list(range(HALF_WAY + 1, 21)),
        )
        assert harness.stored(job_id) == ["e2/manifest.json", "e2/student.onnx"]


def reaped(harness: Harness) -> bool:
    """Unless it gave a sign of life at this very moment."""
    with harness.store.write() as session:
        (held,) = queries.held_jobs(session)
        return reaping.reap_job(session, held) == JobState.QUEUED


class TestHandedOver:
    def test_a_copy_is_made_from_time_to_time_and_serves_when_the_host_is_lost(
        self, harness: Harness, orders: Path, tmp_path: Path
    ) -> None:
        harness.settings = harness.settings.model_copy(update={"checkpoint_seconds": 0.05})
        job_id = harness.submit()

        with half_way(harness, job_id, orders):
            wait_for(lambda: harness.job(job_id).checkpoint_key is not None)
            wait_for(lambda: stored_step(harness, checkpoint_key(job_id, 1), tmp_path) == HALF_WAY)
            wait_for(lambda: reaped(harness))  # its heartbeats are stopped, as far as the others know
            harness.elsewhere().supervisor(f"obeys {orders}").run_next()

        assert (harness.job(job_id).state, harness.job(job_id).epoch) == (JobState.SUCCEEDED, 2)
        assert steps_of(harness, job_id, 2) == list(range(HALF_WAY + 1, 21))
        assert harness.stored(job_id) == ["e2/manifest.json", "e2/student.onnx"]

    def test_a_child_that_is_killed_costs_no_step_on_another_host_either(self, harness: Harness, orders: Path) -> None:
        (orders / "signal").write_text(str(int(signal.SIGKILL)))
        (orders / "hold").unlink()
        job_id = harness.submit()

        harness.supervisor(f"obeys {orders}").run_next()
        assert harness.job(job_id).state == JobState.QUEUED
        harness.elsewhere().supervisor(f"obeys {orders}").run_next()

        assert harness.job(job_id).state == JobState.SUCCEEDED
        assert steps_of(harness, job_id, 2) == list(range(HALF_WAY + 1, 21))

    @pytest.mark.parametrize("fault", ["truncated", "one bit flipped", "missing"])
    def test_a_copy_that_cannot_be_read_costs_the_way_and_not_the_job(
        self, harness: Harness, orders: Path, tmp_path: Path, fault: str
    ) -> None:
        job_id = harness.submit()
        with half_way(harness, job_id, orders):
            harness.stopping.set()
        spoil(harness, checkpoint_key(job_id, 1), fault, tmp_path / "copy.tar")

        harness.elsewhere().supervisor(f"obeys {orders}").run_next()

        assert (harness.job(job_id).state, harness.job(job_id).epoch) == (JobState.SUCCEEDED, 2)
        assert ("warning", "checkpoint_unreadable") in harness.events(job_id)
        assert steps_of(harness, job_id, 2) == list(range(1, 21))

    def test_who_has_it_already_fetches_nothing(self, harness: Harness, orders: Path) -> None:
        job_id = harness.submit()
        with half_way(harness, job_id, orders):
            harness.stopping.set()
        harness.blobs.delete(checkpoint_key(job_id, 1))
        harness.stopping.clear()

        harness.supervisor(f"obeys {orders}").run_next()

        assert ("warning", "checkpoint_unreadable") not in harness.events(job_id)
        assert steps_of(harness, job_id, 2) == list(range(HALF_WAY + 1, 21))


class TestRetry:
    def test_goes_on_from_the_checkpoint_of_the_job_that_failed(self, harness: Harness, orders: Path) -> None:
        (orders / "hold").unlink()
        (orders / "failure").write_text('{"type": "failure", "code": "training_failed", "detail": "No."}')
        failed = harness.submit()
        harness.supervisor(f"obeys {orders}").run_next()
        assert harness.job(failed).state == JobState.FAILED
        assert harness.stored(failed) == ["checkpoints/e1.tar"]
        (orders / "failure").unlink()
        with harness.store.write() as session:
            catalog.register(session, "host", "training", "cpu", CATALOG)
            again = job_actions.retry(session, harness.settings.quotas, Caller(DEFAULT_TENANT, "local"), failed).id

        harness.elsewhere().supervisor(f"obeys {orders}").run_next()

        assert (harness.job(again).state, harness.job(again).retry_of) == (JobState.SUCCEEDED, failed)
        assert steps_of(harness, again, 1) == list(range(HALF_WAY + 1, 21))
        assert harness.job(failed).state == JobState.FAILED
        # the heir's own copy replaces it or, where it made none, its end leaves it to the reconciler
        assert harness.job(again).checkpoint_key in {None, checkpoint_key(failed, 1)}
