import torch

from app.domain.spec import TrainingSpec
from app.domain.workload import SMALL_BATCH, Counts
from worker.training.engine.eta import timed_batch


def test_looking_at_the_clock_takes_no_more_images_than_the_job_and_on_a_cpu_only_a_few() -> None:
    counts = Counts(labelled=3000, unlabelled=0, val=0, judged=10, decodes=0)
    few = counts._replace(labelled=12)

    def timed(batch: int, counts: Counts, device: str) -> int:
        spec = TrainingSpec(student="test_resnet", method="scratch", distill={"batch_size": batch})
        return timed_batch(spec, counts, torch.device(device))

    assert [timed(batch, counts, "cpu") for batch in (16, 512, 8192)] == [16, SMALL_BATCH, SMALL_BATCH]
    assert [timed(batch, counts, "cuda") for batch in (16, 512, 8192)] == [16, 512, 3000]
    assert [timed(8192, few, device) for device in ("cpu", "cuda")] == [SMALL_BATCH, SMALL_BATCH]
