"""The last stage: each student in every asked format, checked, timed and described."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.domain.manifest import Manifest, Measurement
from app.domain.speeds import Work
from app.domain.states import Stage
from worker.training.data.pools import Images
from worker.training.engine.eta import name_of_file
from worker.training.evaluation.metrics import accuracies
from worker.training.evaluation.validation import student_logits
from worker.training.export.latency import NOT_MEASURED, measure_files
from worker.training.export.student import Exported, calibration_images, export_student
from worker.training.report.manifests import Delivered, Trained, describe, licences_of, preprocessing_of
from worker.training.run import Run
from worker.training.teacher.task_teacher import TaskTeacher


def export(
    run: Run,
    images: Images,
    teacher: TaskTeacher | None,
    students: Sequence[Trained],
    evaluations: Sequence[dict[str, Any]],
) -> Manifest:
    """Write each student in every asked format, check and time each file, and describe them all in manifest.json."""
    run.reporter.begin(Stage.EXPORT)
    outcomes = []
    for number, (trained, evaluation) in enumerate(zip(students, evaluations, strict=True)):
        with run.reporter.part(trained.name, number, len(students)):
            exported = _export_one(run, images, teacher, trained, evaluation)
            outcomes.append(Delivered(trained, evaluation, exported, _measure(run, trained, exported)))
    run.reporter.book()  # the manifest names them
    began = time.monotonic()
    manifest = describe(run, images, teacher, outcomes)
    run.reporter.learned(Work.DESCRIBE, time.monotonic() - began, len(outcomes))
    run.reporter.did(Work.DESCRIBE)
    run.reporter.end()
    return manifest


def _export_one(
    run: Run, images: Images, teacher: TaskTeacher | None, trained: Trained, evaluation: Mapping[str, Any]
) -> Exported:
    if trained.student is None:
        return Exported()
    spec = trained.spec
    return export_student(
        trained.student.network,
        config=spec.export,
        out_dir=trained.folder,
        image_size=spec.image_size,
        classes=images.index.classes,
        preprocessing=preprocessing_of(spec, trained.student),
        fingerprint=spec.fingerprint(),
        eval_images_u8=images.judged_squares,
        eval_paths=[sample.path for sample in images.pools.judged.samples],
        on_event=run.reporter.event,
        eval_labels=images.pools.judged.labels,
        eval_folder=run.data_dir,
        evaluated_NK=student_logits(run, trained.student, images.judged_squares),
        calibration=lambda: calibration_images(run, images),
        metrics=accuracies(evaluation),
        licences=licences_of(trained.student, teacher),
        on_file=_told(run, Work.EXPORT),
    )


def _measure(run: Run, trained: Trained, exported: Exported) -> dict[str, Measurement]:
    """Of the files that have a runtime and have passed the gate."""
    return measure_files(
        trained.folder,
        exported.parity,
        image_size=trained.spec.image_size,
        device=run.device,
        timed=trained.spec.export.measure,
        on_event=lambda code, message: run.reporter.event(code, message, warning=code == NOT_MEASURED),
        on_file=_told(run, Work.TIME),
    )


def _told(run: Run, work: Work) -> Callable[[str, float], None]:
    """What is told of a file: that it is done, and how long it took."""

    def told(chosen: str, seconds: float) -> None:
        run.reporter.did(name_of_file(work, chosen))
        run.reporter.learned(work, seconds, 1, chosen)

    return told
