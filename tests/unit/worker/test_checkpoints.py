"""An output folder on its way between hosts."""

import gzip
import logging
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from app.db.engine import Store
from app.db.ids import new_id
from app.db.models import Dataset, Job
from app.db.queries.claims import Heartbeat
from app.domain.spec import JobSpec
from app.domain.states import DatasetState
from app.services import leases
from app.services.leases import JobClaim
from app.settings import Settings
from app.storage.blobs import Blobs
from app.storage.keys import checkpoint_key
from tests.databases import migrate
from worker.checkpoints import Copies, contents, pack, restore, unpack
from worker.lease import Lease, LeaseLost


class Harness:
    """A store with one job, blobs, and the folders of two hosts."""

    def __init__(self, settings: Settings, tmp_path: Path) -> None:
        migrate(settings.database)
        self.settings, self.store, self.blobs = settings, Store(settings.database), Blobs(settings.storage)
        self.here, self.there = tmp_path / "here", tmp_path / "there"
        self.here.mkdir()
        self.there.mkdir()
        self.job_id, dataset_id = new_id("job"), new_id("ds")
        spec = JobSpec(dataset_id=dataset_id, student="test_vit", method="scratch").model_dump(mode="json")
        with self.store.write() as session:
            row = Dataset(id=dataset_id, name="a", bytes=1, sha256="0" * 64, prepared_key="p")
            row.state = DatasetState.READY
            session.add_all([row, Job(id=self.job_id, dataset_id=dataset_id, spec=spec)])

    def claim(self) -> JobClaim:
        with self.store.write() as session:
            claim = leases.claim_job(session, self.job_id, "wk_1")
        assert claim is not None
        return claim

    def copies(self, claim: JobClaim) -> Copies:
        lease = Lease(
            self.settings, self.store, threading.Event(), beat=lambda: Heartbeat(alive=True)
        )  # not entered: nothing beats
        return Copies(self.blobs, lease, claim)

    def hand_back(self, claim: JobClaim) -> None:
        with self.store.write() as session:
            assert leases.release_job(session, claim, "worker_stopping")

    def stored_key(self) -> str | None:
        with self.store.read() as session:
            return session.get_one(Job, self.job_id).checkpoint_key


@pytest.fixture
def harness(settings: Settings, tmp_path: Path) -> Harness:
    return Harness(settings, tmp_path)


def write(folder: Path, step: int) -> None:
    path = folder / "out" / "checkpoints" / f"{step:010d}.ckpt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(step))


def steps(folder: Path) -> list[int]:
    return sorted(int(path.read_text()) for path in folder.rglob("*.ckpt"))


class TestCopies:
    def test_a_copy_is_named_by_the_row_and_brings_another_host_as_far(self, harness: Harness) -> None:
        claim = harness.claim()
        write(harness.here, 3)
        (harness.here / "out" / ".half.tmp").write_text("half a file")

        harness.copies(claim).keep(harness.here)
        harness.hand_back(claim)
        again = harness.claim()

        assert again.checkpoint_key == harness.stored_key() == checkpoint_key(harness.job_id, 1)
        assert restore(harness.blobs, again, harness.there)
        assert steps(harness.there) == [3]
        assert not (harness.there / "out" / ".half.tmp").exists()
        assert [path.name for path in harness.here.iterdir()] == ["out"]

    def test_nothing_is_copied_twice_and_what_is_new_always(self, harness: Harness) -> None:
        copies, key = harness.copies(harness.claim()), checkpoint_key(harness.job_id, 1)
        copies.keep(harness.here)
        assert harness.stored_key() is None  # there is nothing yet
        write(harness.here, 3)
        copies.keep(harness.here)
        harness.blobs.delete(key)
        copies.keep(harness.here)
        assert not harness.blobs.exists(key)

        write(harness.here, 4)
        # the clock was set back meanwhile
        os.utime(harness.here / "out" / "checkpoints" / "0000000004.ckpt", (1, 1))
        copies.keep(harness.here)

        assert harness.blobs.exists(key)

    def test_replaces_that_of_an_earlier_attempt(self, harness: Harness) -> None:
        for epoch in (1, 2):
            claim = harness.claim()
            write(harness.here, epoch)
            harness.copies(claim).keep(harness.here)
            harness.hand_back(claim)
        assert harness.stored_key() == checkpoint_key(harness.job_id, 2)
        assert not harness.blobs.exists(checkpoint_key(harness.job_id, 1))

    def test_a_zombies_copy_is_taken_away_again(self, harness: Harness) -> None:
        claim = harness.claim()
        copies = harness.copies(claim)
        harness.hand_back(claim)
        write(harness.here, 3)
        with pytest.raises(LeaseLost):
            copies.keep(harness.here)
        assert not harness.blobs.exists(checkpoint_key(harness.job_id, 1))

    def test_a_zombie_leaves_alone_what_the_next_attempt_goes_on_from(self, harness: Harness) -> None:
        claim = harness.claim()
        copies = harness.copies(claim)
        write(harness.here, 3)
        copies.keep(harness.here)
        harness.hand_back(claim)
        write(harness.here, 4)

        with pytest.raises(LeaseLost):
            copies.keep(harness.here)

        assert restore(harness.blobs, harness.claim(), harness.there)
        assert 3 in steps(harness.there)

    def test_a_storage_that_is_away_costs_the_copy_and_not_the_job(
        self, harness: Harness, caplog: pytest.LogCaptureFixture
    ) -> None:
        claim = harness.claim()
        write(harness.here, 3)
        (harness.settings.root / "blobs").mkdir(parents=True)
        (harness.settings.root / "blobs" / "jobs").write_text("a file where a folder should be")

        with caplog.at_level(logging.ERROR):
            harness.copies(claim).keep(harness.here)

        assert "stays on this host" in caplog.text
        assert harness.stored_key() is None


class TestBring:
    def test_prefers_what_lies_here_where_it_is_newer(self, harness: Harness) -> None:
        first = harness.claim()
        assert restore(harness.blobs, first, harness.here)
        write(harness.here, 1)
        harness.copies(first).keep(harness.here)
        harness.hand_back(first)
        second = harness.claim()
        assert restore(harness.blobs, second, harness.there)
        write(harness.there, 2)  # and this host is lost before it can store that
        harness.hand_back(second)
        third = harness.claim()

        assert restore(harness.blobs, third, harness.there)
        assert steps(harness.there) == [1, 2]
        assert restore(harness.blobs, replace(third, checkpoint_epoch=2), harness.here)
        assert steps(harness.here) == [1]

    @pytest.mark.parametrize("fault", ["missing", "truncated", "one bit flipped", "no archive"])
    def test_keeps_what_lies_here_where_the_stored_one_cannot_be_read(self, harness: Harness, fault: str) -> None:
        claim = harness.claim()
        write(harness.there, 7)
        harness.copies(claim).keep(harness.there)
        assert restore(harness.blobs, claim, harness.here)
        write(harness.here, 5)
        key = checkpoint_key(harness.job_id, 1)
        copy = harness.there / "copy"
        harness.blobs.fetch(key, copy)
        content = bytearray(copy.read_bytes())
        if fault == "missing":
            harness.blobs.delete(key)
        else:
            if fault == "truncated":
                del content[-4000:]
            elif fault == "no archive":
                content = bytearray(gzip.compress(b"neither"))
            else:
                content[content.index(b".ckpt") + 600] ^= 1
            copy.unlink()
            copy.write_bytes(content)
            harness.blobs.put_file(key, copy)

        newer = replace(claim, epoch=3, checkpoint_key=key, checkpoint_epoch=2)

        assert not restore(harness.blobs, newer, harness.here)
        assert steps(harness.here) == [5]
        assert sorted(path.name for path in harness.here.iterdir()) == ["attempt", "out"]


class TestPack:
    def test_what_an_attempt_killed_while_it_copied_has_left_is_not_written_into(
        self, harness: Harness, tmp_path: Path
    ) -> None:
        write(harness.here, 3)
        left, key = harness.here / "checkpoint.tar", checkpoint_key(harness.job_id, 1)
        pack(harness.here / "out", left)
        harness.blobs.put_file(key, left)  # and then it was killed: blob and left-over are one file
        stored = left.read_bytes()
        write(harness.here, 4)

        pack(harness.here / "out", left)

        harness.blobs.fetch(key, tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == stored
        claim = replace(harness.claim(), checkpoint_key=key, checkpoint_epoch=1)
        harness.blobs.delete(key)
        harness.blobs.put_file(key, left)
        assert restore(harness.blobs, claim, harness.here)
        assert steps(harness.here) == [3, 4]

    def test_goes_through_unpack_unchanged(self, tmp_path: Path) -> None:
        write(tmp_path, 3)
        (tmp_path / "out" / "test_vit").mkdir()
        (tmp_path / "out" / "test_vit" / "a.safetensors").write_bytes(os.urandom(100_000))
        pack(tmp_path / "out", tmp_path / "copy.tar")
        unpack(tmp_path / "copy.tar", tmp_path / "again")
        assert {name for name, _ in contents(tmp_path / "again")} == {name for name, _ in contents(tmp_path / "out")}
        name = "test_vit/a.safetensors"
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
