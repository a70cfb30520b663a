"""One job from its claim to its end: what a supervisor publishes, and what it tells of a failure."""

import hashlib
import json

import pytest
from sqlalchemy import select

from app.db.models import Artifact, JobEvent, JobMetric
from app.domain.choice import Constraints
from app.domain.states import JobState, Stage
from tests.integration.supervising import Room, wait_for


class TestSuccess:
    def test_publishes_what_the_manifest_lists(self, room: Room) -> None:
        job_id = room.submit()

        room.supervisor().run_next()

        job = room.job(job_id)
        assert (job.state, job.progress, job.epoch) == (JobState.SUCCEEDED, 1.0, 1)
        assert job.evaluation == {"accuracy": 0.75}
        with room.store.read() as session:
            artifacts = {a.name: a for a in session.scalars(select(Artifact).where(Artifact.job_id == job_id))}
        assert set(artifacts) == {"student.onnx", "manifest.json"}
        for artifact in artifacts.values():
            with room.blobs.open(artifact.storage_key) as file:
                content = file.read()
            assert hashlib.sha256(content).hexdigest() == artifact.sha256
            assert len(content) == artifact.bytes
        assert room.stored(job_id) == ["e1/manifest.json", "e1/student.onnx"]

    def test_publishes_each_student_in_a_folder_of_its_name(self, room: Room) -> None:
        names = ("test_resnet", "test_vit")
        job_id = room.submit(students=names)

        room.supervisor().run_next()

        job = room.job(job_id)
        assert job.state == JobState.SUCCEEDED
        assert job.evaluation == {name: {"accuracy": 0.75} for name in names}
        files = [*(f"{name}/student.onnx" for name in names), "manifest.json"]
        with room.store.read() as session:
            assert set(session.scalars(select(Artifact.name).where(Artifact.job_id == job_id))) == set(files)
        assert room.stored(job_id) == sorted(f"e1/{file}" for file in files)

    def test_tells_which_file_answers_the_constraints(self, room: Room) -> None:
        asked, not_asked = room.submit(constraints=Constraints(max_latency_ms=2)), room.submit()

        room.supervisor().run_next()
        room.supervisor().run_next()

        choice = room.job(asked).choice
        assert choice is not None
        assert (choice["met"], choice["file"], choice["constraints"]["max_latency_ms"]) == (True, "student.onnx", 2)
        assert room.job(not_asked).choice is None

    def test_gives_the_child_the_data_and_the_training_part_of_the_spec(self, room: Room) -> None:
        job_id = room.submit()

        room.supervisor().run_next()

        with room.blobs.open(f"jobs/{job_id}/e1/manifest.json") as file:
            manifest = json.load(file)
        assert manifest["dataset"] == {"images": 8}
        assert manifest["spec"]["student"] == "test_vit"
        assert "dataset_id" not in manifest["spec"]

    def test_relays_what_the_child_says(self, room: Room) -> None:
        job_id = room.submit()

        room.supervisor().run_next()

        assert room.events(job_id) == [
            ("state", "claimed"),
            ("stage", "prepare"),
            ("warning", "batch_clamped"),
            ("stage", "reprogram"),
            ("stage", "distill"),
            ("stage", "export"),
            ("state", "succeeded"),
        ]
        assert room.job(job_id).metrics == {"loss": 0.5, "accuracy": 0.7, "test_accuracy": 0.75}
        with room.store.read() as session:
            pieces = list(session.scalars(select(JobMetric).where(JobMetric.job_id == job_id).order_by(JobMetric.seq)))
        points = [(piece.stage, point["step"], point["values"]["loss"]) for piece in pieces for point in piece.points]
        assert points == [(Stage.REPROGRAM, 10, 2.0), (Stage.DISTILL, 10, 1.0), (Stage.DISTILL, 20, 0.5)]

    def test_tells_the_store_while_the_child_still_runs(self, room: Room) -> None:
        job_id = room.submit()

        with room.running("waits for the test"):
            wait_for(lambda: room.job(job_id).stage == Stage.DISTILL)
            assert room.job(job_id).progress == 0.25
            before = room.job(job_id).hb_seq
            wait_for(lambda: room.job(job_id).hb_seq > before)
            (room.out(job_id) / "go").touch()

        assert room.job(job_id).state == JobState.SUCCEEDED

    def test_leaves_no_scratch_but_keeps_the_data_set_for_the_next_job(self, room: Room) -> None:
        room.submit()
        room.supervisor().run_next()
        assert list((room.settings.scratch / "jobs").iterdir()) == []

        room.blobs.delete_prefix("datasets")  # a second download would fail
        second = room.submit()
        room.supervisor().run_next()

        assert room.job(second).state == JobState.SUCCEEDED

    def test_runs_the_job_of_the_highest_priority(self, room: Room) -> None:
        low, high = room.submit(priority=0), room.submit(priority=5)

        room.supervisor().run_next()

        assert (room.job(high).state, room.job(low).state) == (JobState.SUCCEEDED, JobState.QUEUED)

    def test_does_nothing_where_nothing_is_queued(self, room: Room) -> None:
        job_id = room.submit()
        for _ in range(3):
            room.supervisor().run_next()

        assert room.job(job_id).epoch == 1


class TestFailure:
    def test_passes_on_what_the_training_room_says(self, room: Room) -> None:
        job_id = room.submit()

        room.supervisor("fails").run_next()

        job = room.job(job_id)
        assert job.state == JobState.FAILED
        assert job.error == {
            "code": "model_not_buildable",
            "title": "The network cannot be built as asked",
            "detail": "It cannot be built.",
            "hint": "Take another.",
        }
        assert room.events(job_id)[-1] == ("state", "model_not_buildable")

    @pytest.mark.parametrize(
        ("behaviour", "said"),
        [("crashes", "was ended by SIGSEGV"), ("says nothing", "ended with status 0")],
    )
    def test_tries_again_after_a_silent_end_and_gives_up_where_nothing_ever_moves(
        self, room: Room, behaviour: str, said: str
    ) -> None:
        job_id = room.submit()

        for attempt in range(1, 4):
            assert room.job(job_id).state == JobState.QUEUED
            room.supervisor(behaviour).run_next()
            assert room.job(job_id).epoch == attempt

        job = room.job(job_id)
        assert (job.state, job.error and job.error["code"]) == (JobState.FAILED, "worker_lost_repeatedly")
        with room.store.read() as session:
            told = [event.message for event in session.scalars(select(JobEvent).where(JobEvent.code == "attempt_lost"))]
        assert len(told) == 3
        assert all(said in message and "secret" not in message for message in told)
        assert room.requeued == [job_id] * 3

    def test_publishes_nothing_that_its_manifest_does_not_describe(self, room: Room) -> None:
        job_id = room.submit()

        room.supervisor("lies").run_next()

        job = room.job(job_id)
        assert (job.state, job.error and job.error["code"]) == (JobState.FAILED, "training_failed")
        assert room.stored(job_id) == []

    def test_leaves_no_scratch(self, room: Room) -> None:
        room.submit()
        room.supervisor("fails").run_next()

        assert list((room.settings.scratch / "jobs").iterdir()) == []

    def test_a_data_set_whose_bytes_are_gone_fails_the_job(self, room: Room) -> None:
        room.blobs.delete_prefix("datasets")
        job_id = room.submit()

        room.supervisor().run_next()

        job = room.job(job_id)
        assert (job.state, job.error and job.error["code"]) == (JobState.FAILED, "store_unavailable")
