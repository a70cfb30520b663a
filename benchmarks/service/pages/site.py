"""A service that has seen much: 10,000 jobs, and a data set of 1,000 classes with a job that has ended and one that
runs, as the store holds them."""

from dataclasses import dataclass

from app.db.engine import Store
from app.db.ids import new_id
from app.db.models import Dataset, Job
from app.domain.catalog import Catalog, StudentCard, TeacherCard
from app.domain.dataset import DatasetReport, Split
from app.domain.progress import EventLine, MetricLine
from app.domain.spec import JobSpec
from app.domain.states import JobState, Stage
from app.queue import TRAINING_QUEUE
from app.services import catalog, leases
from app.services.dataset_leases import accept_dataset, claim_dataset

BATCH = 1000
CATALOG = Catalog(
    teachers=tuple(
        TeacherCard(
            name=f"vit_base_patch16_{number}.augreg",
            architecture="vit_base_patch16_224",
            family="vision_transformer",
            parameters=86_000_000,
            input_size=224,
            licence="apache-2.0",
            source="local",
        )
        for number in range(500)
    ),
    students=tuple(StudentCard(name=f"student_{number}", family="resnet", parameters=10**6) for number in range(1000)),
)
POINTS = 200


@dataclass(frozen=True)
class Site:
    """What there is to look at."""

    dataset: str
    running: str
    claim: leases.JobClaim
    """Of the running job."""


def fill(store: Store, jobs: int, classes: int) -> Site:
    names = tuple(f"class {number:04}" for number in range(classes))
    counts = {Split.TRAIN: dict.fromkeys(names, 50), Split.VAL: dict.fromkeys(names, 5)}
    report = DatasetReport.model_validate(
        {"classes": names, "counts": counts, "images": 55 * classes, "digest": "d" * 64}
    )
    dataset_id = new_id("ds")
    with store.write() as session:
        catalog.register(session, "wk_1", TRAINING_QUEUE, "cpu", CATALOG)
        session.add(Dataset(id=dataset_id, name="many.zip", bytes=10**9, sha256="0" * 64, upload_key="uploads/none"))
        session.flush()
        claim = claim_dataset(session, dataset_id, "wk_1")
        assert claim is not None and accept_dataset(session, claim, f"datasets/{dataset_id}/e1/prepared.zip", report)
    spec = JobSpec(dataset_id=dataset_id, student="resnet18", method="scratch").model_dump(mode="json")
    for begin in range(0, jobs, BATCH):
        with store.write() as session:
            for number in range(begin, min(jobs, begin + BATCH)):
                state = (JobState.CANCELLED, JobState.FAILED, JobState.QUEUED)[number % 3]
                session.add(Job(id=new_id("job"), dataset_id=dataset_id, spec=spec, state=state))
    running = new_id("job")
    with store.write() as session:
        session.add(Job(id=running, dataset_id=dataset_id, spec=spec))
        session.flush()
        held = leases.claim_job(session, running, "wk_1")
        assert held is not None
        points = [point(step) for step in range(1, POINTS + 1)]
        begun = EventLine(code="checkpoint", message="A checkpoint was written.")
        assert leases.record(session, held, stage=Stage.DISTILL, progress=0.2, points=points, events=[begun])
    return Site(dataset_id, running, held)


def point(step: int) -> MetricLine:
    values = {"loss": 4.0 / (step + 1), "kd": 0.5}
    return MetricLine(stage=Stage.DISTILL, step=step, values=values | ({"val_accuracy": 0.5} if step % 10 == 0 else {}))
