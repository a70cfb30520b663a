"""prepare → reprogram → distil → evaluate → export."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from app.domain.dataset import DatasetIndex
from app.domain.errors import InvalidSpec
from app.domain.evaluation import EVALUATION_NAME
from app.domain.files import replaced_atomically
from app.domain.manifest import Manifest
from app.domain.progress import DoneLine
from app.domain.spec import TrainingSpec
from app.domain.speeds import Work
from app.domain.states import Stage
from app.domain.workload import AGREEMENT_IMAGES, EVALUATIONS, architecture_of, head_views, training_way
from app.reading.layout import load_index
from worker.training.data.class_weights import class_weights
from worker.training.data.pools import Images
from worker.training.deliver import export
from worker.training.engine import checkpoint
from worker.training.engine.curves import Curves
from worker.training.engine.loop import Hooks, Optimisation, fit
from worker.training.engine.pace import StepClock
from worker.training.evaluation.advice import advise
from worker.training.evaluation.answers import save_answers
from worker.training.evaluation.metrics import compare
from worker.training.evaluation.review import review_data
from worker.training.evaluation.validation import Validator, build_validator, student_logits
from worker.training.export.preview import Previews
from worker.training.methods.batches import BatchSource
from worker.training.methods.handover import Handover
from worker.training.methods.head_first import solve_head
from worker.training.methods.registry import build_task
from worker.training.methods.targets import TargetSource
from worker.training.models.networks import Student, build_student
from worker.training.prepare import prepare
from worker.training.report.comparison import tell_choice
from worker.training.report.manifests import Trained, preprocessing_of
from worker.training.run import Run
from worker.training.teacher.reprogramming import reprogram
from worker.training.teacher.task_teacher import TaskTeacher, logits_of_clean

_RUN_NAME = "run.json"
_ENOUGH_STEPS = 5
"""Of which the time is worth remembering: the first ones are slow."""


def train(run: Run) -> Manifest:
    """One job, from a data set to students that provably compute what was trained.

    A second call on the same output folder goes on where the first one stopped.

    Raises:
        TdmrError: in words for the user.
        Stopped: a stop was requested; checkpoints are written.
    """
    run.out_dir.mkdir(parents=True, exist_ok=True)
    index = load_index(run.data_dir)
    _claim_folder(run, index)
    run.reporter.record = Curves(run.out_dir).add
    images, every_taps = prepare(run, index)
    task_teacher = reprogram(run, images, every_taps) if every_taps else None
    if task_teacher is not None:
        review_data(run, images, task_teacher.taps)
    students = distil(run, images, task_teacher) if run.spec.method_info.needs_student else _probe_only(run)
    evaluations = evaluate(run, images, task_teacher, students)
    manifest = export(run, images, task_teacher, students, evaluations)
    tell_choice(run, manifest.choice)
    _tell_memory(run, images)
    run.reporter.emit(DoneLine(metrics=manifest.metrics))
    return manifest


def distil(run: Run, images: Images, task_teacher: TaskTeacher | None) -> list[Trained]:
    """Stage 2, of one student after another. Each has what it would have alone: seed, batches, views, checkpoints."""
    run.reporter.begin(Stage.DISTILL)
    targets = TargetSource(run, task_teacher) if task_teacher is not None else None
    batches = BatchSource(run, images, targets)
    validator = build_validator(run, images, task_teacher)
    previews = Previews(run, images, preprocessing_of)
    students: list[Trained] = []
    for number, name in enumerate(run.spec.every_student):
        single_student = run.spec.students is None
        part, folder = ("", run.out_dir) if single_student else (name, run.out_dir / name)
        folder.mkdir(exist_ok=True)
        steps = StepClock(run.reporter.progress)
        validated = 0.0 if validator is None else validator.seconds
        hooks = Hooks(
            metric=run.reporter.metric,
            progress=steps,
            event=run.reporter.event,
            stop_requested=run.stop_requested,
            after_step=previews.answer,
            evaluate=validator,
            checkpoints=folder / "checkpoints",
            checkpoint_seconds=run.runtime.checkpoint_seconds,
        )
        spec = run.spec.for_student(name, pretrained=run.initial_weights[name] is not None)
        with run.reporter.part(
            part, number, len(run.spec.every_student), steps=batches.steps, images_per_step=batches.batch_size
        ):
            student = _distil_one(run, spec, name, images, task_teacher, batches, validator, hooks, previews)
            looked = 0.0 if validator is None else validator.seconds - validated
            _tell_speed(run, spec, steps, batches.batch_size, looked, images)
        students.append(Trained(spec, folder, part, student))
    return students


def evaluate(
    run: Run, images: Images, task_teacher: TaskTeacher | None, students: Sequence[Trained]
) -> list[dict[str, Any]]:
    """Student beside reprogrammed teacher and probe, on images that training never saw. Writes evaluation.json and
    answers.csv."""
    run.reporter.begin(Stage.EVALUATE)
    teacher_logits, probe_logits = task_teacher.judged_logits() if task_teacher is not None else (None, None)
    evaluations = []
    for number, trained in enumerate(students):
        with run.reporter.part(trained.name, number, len(students)):
            student, judged = trained.student, images.pools.judged
            logits_of_student = None if student is None else student_logits(run, student, images.judged_squares)
            evaluation = compare(
                split=images.pools.judged_split,
                classes=images.index.classes,
                labels=judged.labels,
                train_labels=images.pools.labelled.labels,
                student=logits_of_student,
                teacher=teacher_logits,
                probe=probe_logits,
                paths=[sample.name for sample in judged.samples],
            )
            with replaced_atomically(trained.folder / EVALUATION_NAME) as temporary:
                temporary.write_text(json.dumps(evaluation))
            predictors = {"student": logits_of_student, "teacher": teacher_logits, "probe": probe_logits}
            save_answers(trained.folder, judged.samples, images.index.classes, predictors)
            curve = Curves(run.out_dir).points(trained.name)
            for advice in advise(evaluation, curve, trained.spec.labels_only_method):
                run.reporter.event(advice.code, advice.message, warning=advice.warning)
        evaluations.append(evaluation)
        run.reporter.did(Work.EVALUATE)
    run.reporter.end()
    shown = len(images.pools.judged) * sum(trained.student is not None for trained in students)
    run.reporter.learned(Work.EVALUATE, run.reporter.seconds[Stage.EVALUATE], shown)
    return evaluations


def _distil_one(
    run: Run,
    spec: TrainingSpec,
    name: str,
    images: Images,
    task_teacher: TaskTeacher | None,
    batches: BatchSource,
    validator: Validator | None,
    hooks: Hooks,
    previews: Previews,
) -> Student:
    """Returns the student with its averaged weights, in eval mode."""
    config, classes = spec.distill, len(images.index.classes)
    torch.manual_seed(spec.seed)  # the same initial student for every method, alone or among others
    weights = run.initial_weights[name]
    student = build_student(weights or name, classes, spec.image_size, weights is not None, run.runtime.models_dir)
    run.tune_student(student.to(run.device))
    run.tune_optimiser()
    torch.manual_seed(spec.seed)
    handover = _handover(run, spec, images, task_teacher, batches.steps)
    task = build_task(
        spec,
        student,
        proxy_space=task_teacher.blend if task_teacher is not None else None,
        probe=task_teacher.probe if task_teacher is not None else None,
        tap_widths=task_teacher.taps.widths if task_teacher is not None else (),
        class_weights_K=class_weights(images.pools.labelled.labels, classes) if spec.balance == "loss" else None,
        handover=handover,
    ).to(run.device)
    if weights is not None and config.head_first and not checkpoint.exists(hooks.checkpoints):
        if solve_head(task, batches.at, head_views(spec), spec.seed, run.stop_requested):
            knows = hooks.evaluate(student.eval()) if hooks.evaluate is not None else {}
            right = (
                f": {knows['val_accuracy']:.1%} of the validation images are right" if "val_accuracy" in knows else ""
            )
            hooks.event("classifier_first", f"The new classifier has learned, on the pretrained features{right}.")
        torch.manual_seed(spec.seed)
    how = Optimisation(
        batches.steps, spec.peak_learning_rate, config.weight_decay, config.warmup, config.clip_norm, config.optimiser
    )
    if handover is not None and validator is not None:
        hooks = replace(hooks, metric=_heard_by(handover, validator, hooks), averages=handover.follow)
    hooks = replace(
        hooks,
        judged=lambda step, delivered, values: previews.take(spec, delivered, step, how.steps, values, task.finish),
    )
    trained = fit(task, student, lambda step: batches.at(step, handover), how, ema=config.ema, hooks=hooks)
    assert isinstance(trained, Student)
    task.finish(trained)
    return trained


def _handover(
    run: Run, spec: TrainingSpec, images: Images, task_teacher: TaskTeacher | None, steps: int
) -> Handover | None:
    """For `tdmr` where there are validation images, which tell when the student has passed its teacher."""
    if "handover" not in spec.method_info.reads or not spec.distill.handover or not len(images.pools.val):
        return None
    assert task_teacher is not None
    teacher = logits_of_clean(task_teacher.model, task_teacher.taps.val, run.device)
    return Handover(teacher, torch.from_numpy(images.pools.val.labels), steps)


def _heard_by(handover: Handover, validator: Validator, hooks: Hooks) -> Callable[[int, dict[str, float]], None]:
    """What is told to the curves tells the handover how good the student is."""

    def metric(step: int, values: dict[str, float]) -> None:
        begins = "val_ce" in values and validator.logits_NK is not None and handover.notice(step, validator.logits_NK)
        hooks.metric(step, values | ({"own_share": handover.own_share} if "val_ce" in values else {}))
        if begins:
            hooks.event(
                "labels_lead",
                f"After {step} of {handover.steps} steps the student has passed its teacher on the validation images "
                f"(cross-entropy {values['val_ce']:.3f} against {handover.teacher_ce:.3f}): from here on the labels "
                "take the lead.",
            )

    return metric


def _probe_only(run: Run) -> list[Trained]:
    """`probe` has an evaluation to deliver, and no student."""
    return [Trained(run.spec, run.out_dir, "", None)]


def _tell_speed(
    run: Run, spec: TrainingSpec, steps: StepClock, batch_size: int, validating: float, images: Images
) -> None:
    """What an image step has cost, and what an image of a validation."""
    assert spec.student is not None
    network = architecture_of(spec.student), spec.image_size
    if steps.count >= _ENOUGH_STEPS:
        seconds, way = steps.seconds - validating, training_way(spec, len(images.pools.training))
        run.reporter.learned(Work.TRAIN, seconds, steps.count * batch_size, *network, way)
    judged_by = len(images.pools.val) or min(AGREEMENT_IMAGES, len(images.pools.training))
    share = min(1.0, steps.count / max(1, steps.of))  # of a resumed student
    run.reporter.learned(Work.FORWARD, validating, round(share * min(steps.of, EVALUATIONS)) * judged_by, *network)


def _tell_memory(run: Run, images: Images) -> None:
    """What the accelerator's memory held at most; the supervisor watches the machine's own."""
    students = run.spec.every_student
    if torch.cuda.is_available() and (peak := torch.cuda.max_memory_reserved()) and len(students) == 1:
        subject, way = architecture_of(students[0]), training_way(run.spec, len(images.pools.training))
        run.reporter.learned(Work.PEAK_DEVICE_MEMORY, peak, 1, subject, run.spec.image_size, way)


def _claim_folder(run: Run, index: DatasetIndex) -> None:
    """A folder belongs to one run: half of another one must not be taken for our own."""
    identity = json.dumps({"spec": run.spec.fingerprint(), "data": index.digest}, sort_keys=True)
    path = run.out_dir / _RUN_NAME
    if path.is_file() and path.read_text() != identity:
        raise InvalidSpec(
            "The output folder holds a run of another spec or data set.", hint="Choose an empty output folder."
        )
    with replaced_atomically(path) as temporary:
        temporary.write_text(identity)
