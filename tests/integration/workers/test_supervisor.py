"""One job from its claim to its end: what a supervisor publishes, and what it tells of a failure."""

import hashlib
import json

import pytest
from sqlalchemy import select

from app.db.engine import Store
from app.db.models import Artifact, JobEvent, JobMetric
from app.domain.model_selection import Constraints
from app.domain.speeds import Work
from app.domain.states import JobState, Stage
from app.services import speeds
from tests.integration.supervising import Harness, wait_for
from worker import limits, machine
from worker.supervisor import SHOWN_FOREIGN_LINES


class TestSuccess:
    def test_publishes_what_the_manifest_lists(self, harness: Harness) -> None:
        job_id = harness.submit()

        harness.supervisor().run_next()

        job = harness.job(job_id)
        assert (job.state, job.progress, job.epoch) == (JobState.SUCCEEDED, 1.0, 1)
        assert job.evaluation == {"accuracy": 0.75}
        with harness.store.read() as session:
            artifacts = {a.name: a for a in session.scalars(select(Artifact).where(Artifact.job_id == job_id))}
        assert set(artifacts) == {"student.onnx", "manifest.json"}
        for artifact in artifacts.values():
            with harness.blobs.open(artifact.storage_key) as file:
                content = file.read()
            assert hashlib.sha256(content).hexdigest() == artifact.sha256
            assert len(content) == artifact.bytes
        assert harness.stored(job_id) == ["e1/manifest.json", "e1/student.onnx"]

    def test_remembers_what_the_job_took_and_tells_the_next_one(
        self, harness: Harness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "_POLL_SECONDS", 0.0)  # the child lives for less than a second
        job_id = harness.submit()

        harness.supervisor().run_next()

        with harness.store.read() as session:
            known = {row.work: row for row in speeds.known(session, machine.kind(harness.settings))}
        assert (known[Work.DECODE].amounts, known[Work.DECODE].of_jobs) == ((0.25,), True)
        assert 0 < known[Work.PUBLISH].amounts[0] < 60
        trained, peak = known[Work.TRAIN], known[Work.PEAK_MEMORY]
        assert (peak.subject, peak.size, peak.how) == (trained.subject, trained.size, trained.how)
        assert peak.amounts[0] > 1e6
        assert harness.job(job_id).expected_end is None  # it has ended
        next_job = harness.submit()
        with harness.running("waits"):
            told = harness.settings.scratch / "jobs" / next_job / "speeds.json"
            wait_for(lambda: told.is_file() and (told.parent / "out" / "waiting").is_file())
            assert {row["work"] for row in json.loads(told.read_text())} >= {"decode", "publish"}
            harness.stopping.set()

    def test_publishes_each_student_in_a_folder_of_its_name(self, harness: Harness) -> None:
        names = ("test_resnet", "test_vit")
        job_id = harness.submit(students=names)

        harness.supervisor().run_next()

        job = harness.job(job_id)
        assert job.state == JobState.SUCCEEDED
        assert job.evaluation == {name: {"accuracy": 0.75} for name in names}
        files = [*(f"{name}/student.onnx" for name in names), "manifest.json"]
        with harness.store.read() as session:
            assert set(session.scalars(select(Artifact.name).where(Artifact.job_id == job_id))) == set(files)
        assert harness.stored(job_id) == sorted(f"e1/{file}" for file in files)

    def test_tells_which_file_answers_the_constraints(self, harness: Harness) -> None:
        asked, not_asked = harness.submit(constraints=Constraints(max_latency_ms=2)), harness.submit()

        harness.supervisor().run_next()
        harness.supervisor().run_next()

        choice = harness.job(asked).choice
        assert choice is not None
        assert (choice["met"], choice["file"], choice["constraints"]["max_latency_ms"]) == (True, "student.onnx", 2)
        assert harness.job(not_asked).choice is None

    def test_gives_the_child_the_data_and_the_training_part_of_the_spec(self, harness: Harness) -> None:
        job_id = harness.submit()

        harness.supervisor().run_next()

        with harness.blobs.open(f"jobs/{job_id}/e1/manifest.json") as file:
            manifest = json.load(file)
        assert manifest["dataset"] == {"images": 8}
        assert manifest["spec"]["student"] == "test_vit"
        assert "dataset_id" not in manifest["spec"]

    def test_relays_what_the_child_says(self, harness: Harness) -> None:
        job_id = harness.submit()

        harness.supervisor().run_next()

        assert harness.events(job_id) == [
            ("state", "claimed"),
            ("stage", "prepare"),
            ("warning", "batch_clamped"),
            ("stage", "reprogram"),
            ("stage", "distill"),
            ("stage", "export"),
            ("state", "succeeded"),
        ]
        assert harness.job(job_id).metrics == {"loss": 0.5, "accuracy": 0.7, "test_accuracy": 0.75}
        with harness.store.read() as session:
            pieces = list(session.scalars(select(JobMetric).where(JobMetric.job_id == job_id).order_by(JobMetric.seq)))
        points = [(piece.stage, point["step"], point["values"]["loss"]) for piece in pieces for point in piece.points]
        assert points == [(Stage.REPROGRAM, 10, 2.0), (Stage.DISTILL, 10, 1.0), (Stage.DISTILL, 20, 0.5)]

    def test_tells_the_store_while_the_child_still_runs(self, harness: Harness) -> None:
        job_id = harness.submit()

        with harness.running("waits for the test"):
            wait_for(lambda: harness.job(job_id).stage == Stage.DISTILL)
            assert harness.job(job_id).progress == 0.25
            before = harness.job(job_id).hb_seq
            wait_for(lambda: harness.job(job_id).hb_seq > before)
            (harness.out(job_id) / "go").touch()

        assert harness.job(job_id).state == JobState.SUCCEEDED

    def test_leaves_no_scratch_but_keeps_the_data_set_for_the_next_job(self, harness: Harness) -> None:
        harness.submit()
        harness.supervisor().run_next()
        assert list((harness.settings.scratch / "jobs").iterdir()) == []

        harness.blobs.delete_prefix("datasets")  # a second download would fail
        second = harness.submit()
        harness.supervisor().run_next()

        assert harness.job(second).state == JobState.SUCCEEDED

    def test_runs_the_job_of_the_highest_priority(self, harness: Harness) -> None:
        low, high = harness.submit(priority=0), harness.submit(priority=5)

        harness.supervisor().run_next()

        assert (harness.job(high).state, harness.job(low).state) == (JobState.SUCCEEDED, JobState.QUEUED)

    def test_does_nothing_where_nothing_is_queued(self, harness: Harness) -> None:
        job_id = harness.submit()
        for _ in range(3):
            harness.supervisor().run_next()

        assert harness.job(job_id).epoch == 1


class TestFailure:
    def test_passes_on_what_the_training_room_says(self, harness: Harness) -> None:
        job_id = harness.submit()

        harness.supervisor("fails").run_next()

        job = harness.job(job_id)
        assert job.state == JobState.FAILED
        assert job.error == {
            "code": "model_not_buildable",
            "title": "The network cannot be built as specified",
            "detail": "It cannot be built.",
            "hint": "Take another.",
        }
        assert harness.events(job_id)[-1] == ("state", "model_not_buildable")

    @pytest.mark.parametrize(
        ("behaviour", "said"),
        [("crashes", "was ended by SIGSEGV"), ("says nothing", "ended with status 0")],
    )
    def test_tries_again_after_a_silent_end_and_gives_up_where_nothing_ever_moves(
        self, harness: Harness, behaviour: str, said: str
    ) -> None:
        job_id = harness.submit()

        for attempt in range(1, 4):
            assert harness.job(job_id).state == JobState.QUEUED
            harness.supervisor(behaviour).run_next()
            assert harness.job(job_id).epoch == attempt

        job = harness.job(job_id)
        assert (job.state, job.error and job.error["code"]) == (JobState.FAILED, "worker_lost_repeatedly")
        with harness.store.read() as session:
            told = [event.message for event in session.scalars(select(JobEvent).where(JobEvent.code == "attempt_lost"))]
        assert len(told) == 3
        assert all(said in message and "secret" not in message for message in told)
        assert harness.requeued == [job_id] * 3

    def test_publishes_nothing_that_its_manifest_does_not_describe(self, harness: Harness) -> None:
        job_id = harness.submit()

        harness.supervisor("lies").run_next()

        job = harness.job(job_id)
        assert (job.state, job.error and job.error["code"]) == (JobState.FAILED, "training_failed")
        assert harness.stored(job_id) == []

    def test_leaves_no_scratch(self, harness: Harness) -> None:
        harness.submit()
        harness.supervisor("fails").run_next()

        assert list((harness.settings.scratch / "jobs").iterdir()) == []

    def test_a_data_set_whose_bytes_are_gone_fails_the_job(self, harness: Harness) -> None:
        harness.blobs.delete(f"datasets/{harness.dataset_id}/e1/prepared.zip")
        job_id = harness.submit()

        harness.supervisor().run_next()

        job = harness.job(job_id)
        assert (job.state, job.error and job.error["code"]) == (JobState.FAILED, "file_lost")
        assert job.error is not None and job.error["hint"] == "Upload the data set again."

    def test_a_storage_that_is_away_is_not_a_data_set_that_is_gone(self, harness: Harness) -> None:
        datasets = harness.settings.root / "blobs" / "datasets"
        datasets.rename(datasets.with_name("away"))
        datasets.write_bytes(b"no folder")
        job_id = harness.submit()

        harness.supervisor().run_next()

        job = harness.job(job_id)
        assert (job.state, job.error and job.error["code"]) == (JobState.FAILED, "store_unavailable")


class TestLog:
    def test_shows_a_few_of_the_lines_that_are_none_of_ours_and_counts_the_rest(
        self, harness: Harness, caplog: pytest.LogCaptureFixture
    ) -> None:
        job_id = harness.submit()

        harness.supervisor("chatters").run_next()

        assert harness.job(job_id).state == JobState.SUCCEEDED
        told = [message for message in caplog.messages if "no progress line" in message]
        assert len(told) == SHOWN_FOREIGN_LINES + 1
        assert told[-1] == f"the child printed {1 + 20 + 1 - SHOWN_FOREIGN_LINES} more lines that are no progress lines"

    def test_a_store_that_is_away_at_a_claim_is_a_warning(
        self, harness: Harness, caplog: pytest.LogCaptureFixture
    ) -> None:
        supervisor = harness.supervisor()
        supervisor.store = Store("postgresql+psycopg://nobody@127.0.0.1:1/none")

        supervisor.run_next()

        (told,) = caplog.records
        assert (told.levelname, told.exc_info) == ("WARNING", None)
        assert told.message.startswith("The store is away, so nothing is claimed: ")
