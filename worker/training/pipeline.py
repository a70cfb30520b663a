"""prepare → reprogram → distil → evaluate → export."""

import itertools
import json
from collections import Counter
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from app.domain.dataset import DatasetIndex
from app.domain.errors import InvalidSpec, TrainingFailed
from app.domain.files import replaced_atomically
from app.domain.layout import load_index
from app.domain.manifest import Manifest, Preprocessing
from app.domain.progress import DoneLine
from app.domain.states import Stage
from worker.training import losses
from worker.training.data import decode_squares
from worker.training.distill import DistillTask
from worker.training.evaluate import compare, predict
from worker.training.export.manifest import describe_student, write_manifest
from worker.training.export.student import FILE_NAMES, WEIGHTS_NAME, export_student
from worker.training.features import clean_taps
from worker.training.feed import Feed
from worker.training.knowledge import Knowledge, Targets, reprogram
from worker.training.loop import Hooks, Optimisation, fit
from worker.training.models import Student, build_student
from worker.training.prepare import INTERPOLATION, Images, Run, TeacherTaps, prepare

EVALUATION_NAME = "evaluation.json"
REPROGRAMMED_NAME = "reprogrammed.safetensors"
_RUN_NAME = "run.json"
_EVALUATION_BATCH = 128
_AGREEMENT_IMAGES = 512


def train(run: Run) -> Manifest:
    """One job, from a data set to a student that provably computes what was trained.

    A second call on the same output folder goes on where the first one stopped.

    Raises:
        TdmrError: in words for the user.
        Stopped: a stop was requested; checkpoints are written.
    """
    run.out_dir.mkdir(parents=True, exist_ok=True)
    index = load_index(run.data_dir)
    _claim_folder(run, index)
    images, taps = prepare(run, index)
    knowledge = reprogram(run, images, taps) if taps is not None else None
    student = distil(run, images, knowledge)
    evaluation = evaluate(run, images, knowledge, student)
    manifest = export(run, images, taps, student, evaluation)
    run.reporter.emit(DoneLine(metrics=manifest.metrics))
    return manifest


def distil(run: Run, images: Images, knowledge: Knowledge | None) -> Student:
    """Stage 2. Returns the student with its averaged weights, in eval mode."""
    run.reporter.begin(Stage.DISTILL)
    spec, config = run.spec, run.spec.distill
    targets = Targets(run, knowledge) if knowledge is not None else None
    feed = Feed(run, images, targets)
    torch.manual_seed(spec.seed)  # the same initial student for every method
    student = build_student(spec.student, len(images.index.classes), spec.image_size).to(run.device)
    torch.manual_seed(spec.seed)
    task = DistillTask(
        student, spec.method, config, spec.views.jitter, knowledge.reprogrammer if knowledge is not None else None
    ).to(run.device)
    hooks = Hooks(
        metric=run.reporter.metric,
        progress=run.reporter.progress,
        event=run.reporter.event,
        stop_requested=run.stop_requested,
        evaluate=_judge_so_far(run, images, knowledge),
        checkpoints=run.out_dir / "checkpoints",
    )
    how = Optimisation(feed.steps, config.learning_rate, config.weight_decay, config.warmup, config.clip_norm)
    trained = fit(task, student, feed.at, how, ema=config.ema, hooks=hooks)
    assert isinstance(trained, Student)
    return trained


def evaluate(run: Run, images: Images, knowledge: Knowledge | None, student: Student) -> dict[str, Any]:
    """Student beside reprogrammed teacher and probe, on images that training never saw. Writes evaluation.json."""
    run.reporter.begin(Stage.EVALUATE)
    teacher_logits, probe_logits = knowledge.judged_logits() if knowledge is not None else (None, None)
    evaluation = compare(
        split=images.pools.judged_split,
        classes=images.index.classes,
        labels=images.pools.judged.labels,
        train_labels=images.pools.labelled.labels,
        student=_predict(run, student, images.judged_squares),
        teacher=teacher_logits,
        probe=probe_logits,
    )
    with replaced_atomically(run.out_dir / EVALUATION_NAME) as temporary:
        temporary.write_text(json.dumps(evaluation))
    return evaluation


def export(
    run: Run, images: Images, taps: TeacherTaps | None, student: Student, evaluation: dict[str, Any]
) -> Manifest:
    """Write the student in every asked format, check each file, and describe them in manifest.json."""
    run.reporter.begin(Stage.EXPORT)
    spec, classes = run.spec, images.index.classes
    mean, std = student.normalisation["mean"], student.normalisation["std"]
    preprocessing = Preprocessing(
        resize_short_side=spec.image_size,
        center_crop=spec.image_size,
        interpolation=INTERPOLATION,
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
    )
    written = itertools.count(1)

    def exported(code: str, message: str) -> None:
        run.reporter.event(code, message)
        run.reporter.progress(next(written) / (len(spec.export.formats) + 1))

    parity = export_student(
        student.network,
        config=spec.export,
        out_dir=run.out_dir,
        image_size=spec.image_size,
        classes=classes,
        preprocessing=preprocessing,
        fingerprint=spec.fingerprint(),
        eval_images_u8=images.judged_squares,
        eval_paths=[sample.path for sample in images.pools.judged.samples],
        on_event=exported,
    )
    teacher = None
    files = [FILE_NAMES[chosen] for chosen in spec.export.formats] + [WEIGHTS_NAME, EVALUATION_NAME]
    if taps is not None:
        if taps.teacher.digest() != taps.digest:
            raise TrainingFailed("The frozen teacher changed during the job.", hint="Please report this: it is a bug.")
        facts = {key: taps.teacher.card.get(key) for key in ("architecture", "licence", "source")}
        teacher = {"name": taps.teacher.name, **facts, "sha256": taps.digest, "image_size": taps.teacher.image_size}
    if (run.out_dir / REPROGRAMMED_NAME).is_file():
        files.append(REPROGRAMMED_NAME)
    metrics = {"student_accuracy": evaluation["student"]["top1"], "majority_accuracy": evaluation["majority"]["top1"]}
    metrics |= {f"{who}_accuracy": evaluation[who]["top1"] for who in ("teacher", "probe") if evaluation[who]}
    run.reporter.progress(1.0, force=True)
    run.reporter.end()
    return write_manifest(
        run.out_dir,
        files=files,
        spec=spec,
        classes=classes,
        preprocessing=preprocessing,
        student=describe_student(student.architecture, student.network, student.kwargs),
        teacher=teacher,
        dataset={
            "digest": images.index.digest,
            "images": dict(Counter(str(sample.split) for sample in images.index.samples)),
            "split_source": images.index.split_source,
        },
        device=str(run.device),
        metrics=metrics,
        seconds=run.reporter.seconds,
        parity=parity,
    )


def _predict(run: Run, student: Student, squares: np.ndarray) -> np.ndarray:
    mean, std = student.normalisation["mean"], student.normalisation["std"]
    return predict(student.network, squares, mean=mean, std=std, batch_size=_EVALUATION_BATCH, device=run.device)


def _judge_so_far(run: Run, images: Images, knowledge: Knowledge | None) -> Any:
    """How good the student is already: on validation images where there are any, else by agreement with the teacher.

    Never on test images. Agreement needs no labels, so unlabelled images serve.
    """
    if len(images.pools.val):
        labels = torch.from_numpy(images.pools.val.labels)

        def on_val(student: nn.Module) -> dict[str, float]:
            assert isinstance(student, Student)
            logits = torch.from_numpy(_predict(run, student, images.val_squares))
            return {
                "val_accuracy": float(losses.accuracy(logits, labels)),
                "val_ce": float(F.cross_entropy(logits, labels)),
            }

        return on_val
    if knowledge is None:
        return None
    pool = type(images.pools.training)(images.pools.training.samples[-_AGREEMENT_IMAGES:])

    def squares(name: str, side: int) -> np.ndarray:
        path = run.cache_dir / f"squares_{name}.npy"
        return decode_squares(run.data_dir, pool, side, INTERPOLATION, path, lambda fraction: None)

    teacher = knowledge.taps.teacher
    taps = clean_taps(teacher, squares("teacher_agreement", teacher.image_size))
    choices = knowledge.answer(taps.to(run.device)).logits_BK.argmax(1).cpu()
    images_u8 = squares("student_agreement", run.spec.image_size)

    def on_agreement(student: nn.Module) -> dict[str, float]:
        assert isinstance(student, Student)
        logits = torch.from_numpy(_predict(run, student, images_u8))
        return {"teacher_agreement": float((logits.argmax(1) == choices).float().mean())}

    return on_agreement


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
