"""Stage 1 as the pipeline runs it: the probe and the reprogrammer, each trained once for all jobs of the host.

N images, V views, W summed tap widths, K classes.
"""

import hashlib
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from app.domain.failpoints import failpoint
from app.domain.files import replaced_atomically
from app.domain.speeds import Work
from app.domain.states import Stage
from app.domain.workload import PROBE, REPROGRAMMED
from worker.training import losses
from worker.training.data.class_weights import class_weights
from worker.training.data.decoded import Batches, Pool
from worker.training.data.pools import Images
from worker.training.engine.loop import Hooks, Optimisation, fit
from worker.training.run import Run
from worker.training.teacher.features import TeacherTaps
from worker.training.teacher.proxy_space import (
    LinearProbe,
    ProbeTask,
    Reprogrammer,
    ReprogramTask,
    StageOneBatch,
    Standardise,
    TapItems,
)
from worker.training.teacher.task_teacher import TaskTeacher, blended, logits_of, logits_of_clean

_VIEWS_AT_ONCE = 1024
_VERSION = 2
"""To be raised when stage 1 makes something else of the same taps and settings: what is kept is then of no use."""
_PROBE_OPTIONS = {"steps", "batch_size", "learning_rate", "weight_decay"}
_PROBE_SHARE = 0.2  # of the stage's progress, where a reprogrammer follows
_GUESS_TEMPERATURE = 0.5
"""Guesses are sharpened before they are averaged and learned: 73 % where unsharpened ones gave 72 %."""
_UNLABELLED_SEED = 3_000_017  # unlabelled images come in an order of their own

Model = TypeVar("Model", LinearProbe, Reprogrammer)


def reprogram(run: Run, images: Images, taps: TeacherTaps) -> TaskTeacher:
    """Train the probe and, where the method has a proxy space, the reprogrammer; or take what a job has trained before.

    Both are written to the output folder.
    """
    run.reporter.begin(Stage.REPROGRAM)
    stage = _StageOne(run, images, taps)
    config, widths, classes = run.spec.reprogram, taps.teacher.widths, len(images.index.classes)
    probe_only = not run.spec.method_info.reprograms
    probe = stage.trained(
        PROBE,
        lambda: LinearProbe(widths, classes),
        lambda probe: ProbeTask(probe, stage.weights_K),
        config.model_dump(include=_PROBE_OPTIONS),
        share=(0.0, 1.0 if probe_only else _PROBE_SHARE),
        leads=probe_only,
    )
    if probe_only:
        return stage.judged(TaskTeacher(taps, probe))

    def task(reprogrammer: Reprogrammer) -> ReprogramTask:
        reprogrammer.start_at_class_means(taps.labelled, images.pools.labelled.labels)
        return ReprogramTask(reprogrammer, config, stage.weights_K)

    reprogrammer = stage.trained(
        REPROGRAMMED,
        lambda: Reprogrammer(widths, classes, config),
        task,
        config.model_dump(),
        share=(_PROBE_SHARE, 1.0),
        leads=True,
        rounds=1 + (config.self_training if len(images.pools.unlabelled) else 0),
    )
    return stage.judged(TaskTeacher(taps, probe, blended(reprogrammer, probe, taps.val, images.pools.val.labels)))


class _StageOne:
    """Trains models on the labelled images' taps, each once for all jobs of the host."""

    def __init__(self, run: Run, images: Images, taps: TeacherTaps) -> None:
        self.run, self.taps = run, taps
        self.pools, self.classes = images.pools, len(images.index.classes)
        config, spec = run.spec.reprogram, run.spec
        labels = images.pools.labelled.labels
        self.labels = labels
        self.items = TapItems(taps.labelled, taps.shifted)
        self.unlabelled = TapItems(taps.unlabelled, taps.unlabelled_shifted)
        batch_size = min(config.batch_size, len(self.items))
        if batch_size < config.batch_size:
            run.reporter.event(
                "batch_clamped", f"Stage 1 uses batches of {batch_size}: there are no more labelled views."
            )
        self.batches = Batches(
            np.arange(len(labels)), batch_size, spec.seed, labels if spec.balance == "sampling" else None
        )
        self.more = Batches(
            np.arange(len(images.pools.unlabelled)),
            max(1, min(batch_size, len(self.unlabelled))),
            spec.seed + _UNLABELLED_SEED,
        )
        self.weights_K = class_weights(labels, self.classes).to(run.device) if spec.balance == "loss" else None
        self.how = Optimisation(config.steps, config.learning_rate, config.weight_decay)
        self._statistics: dict[str, Tensor] | None = None
        self._last: tuple[int, dict[str, float]] = (0, {})

    def trained(
        self,
        name: str,
        build: Callable[[], Model],
        task: Callable[[Model], nn.Module],
        options: dict[str, object],
        *,
        share: tuple[float, float],
        leads: bool,
        rounds: int = 1,
    ) -> Model:
        """The model that `build` makes, trained by the task that `task` makes of it, then frozen.

        Args:
            options: what of the spec decides the outcome, beside what decides it for every model.
            leads: whether its curves are the stage's.
            rounds: the second and later ones are self-training (Yarowsky, 1995; noisy student, arXiv 1911.04252): the
                model starts anew and learns what the one before guesses of the unlabelled images too.
        """
        run, spec = self.run, self.run.spec
        model = self._begun(build)
        description = {"model": name, "options": options, **self._description()}
        kept = run.cache.load_state(description)
        last: dict[str, float] = {}
        if kept is not None:
            state, last = kept
            model.load_state_dict(state)
            if leads:
                run.reporter.event(
                    "reprogram_reused",
                    "Stage 1 is reused: it was trained before on this data, with this teacher and these settings.",
                )
                run.reporter.metric(rounds * spec.reprogram.steps, last)
        else:
            guesses_NK, began = None, time.monotonic()
            for number in range(rounds):
                if number:
                    guesses_NK, model = self._guesses(model), self._begun(build)
                model.standardise.load_state_dict(self._fitted())
                low, high = (share[0] + (share[1] - share[0]) * at / rounds for at in (number, number + 1))
                last = self._train(model, task(model), guesses_NK, number, (low, high), leads=leads)
            run.cache.save_state(description, model.state_dict(), last)
            run.reporter.learned(Work.REPROGRAM, time.monotonic() - began, rounds * spec.reprogram.steps, name)
        with replaced_atomically(run.out_dir / f"{name}.safetensors") as temporary:
            save_file({key: value.cpu().contiguous() for key, value in model.state_dict().items()}, temporary)
        run.reporter.progress(share[1])
        if leads:
            self._last = rounds * spec.reprogram.steps, last
        return model.eval().requires_grad_(False)

    def judged(self, teacher: TaskTeacher) -> TaskTeacher:
        """Add to the last point of the curves how many validation images teacher and probe have right: the levels that
        the student's curve is held against. What is delivered is the best evaluation, so its end is not the curve's."""
        if len(self.pools.val):
            step, values = self._last
            levels = {"probe_val_accuracy": self._val_values(teacher.probe)["val_accuracy"]}
            if teacher.blend is not None:
                levels["teacher_val_accuracy"] = self._val_values(teacher.blend)["val_accuracy"]
            self.run.reporter.metric(step, values | levels)
        return teacher

    def _begun(self, build: Callable[[], Model]) -> Model:
        torch.manual_seed(self.run.spec.seed)
        return build().to(self.run.device)

    def _train(
        self,
        model: Model,
        task: nn.Module,
        guesses_NK: Tensor | None,
        number: int,
        share: tuple[float, float],
        *,
        leads: bool,
    ) -> dict[str, float]:
        """One round. Returns the last point of the curves; their steps go on from round to round."""
        run, last = self.run, {}
        labelled_only = isinstance(model, LinearProbe)

        def metric(step: int, values: dict[str, float]) -> None:
            last.update(values)
            if leads:
                run.reporter.metric(number * self.how.steps + step, values)

        hooks = Hooks(
            metric=metric,
            progress=run.reporter.within(*share),
            stop_requested=run.stop_requested,
            evaluate=self._val_values if len(self.pools.val) else None,
            select_lowest="val_ce",
        )
        fit(task, model, lambda step: self._batch(step, guesses_NK, labelled_only=labelled_only), self.how, hooks=hooks)
        return last

    def _batch(self, step: int, guesses_NK: Tensor | None, *, labelled_only: bool) -> StageOneBatch:
        """Labelled images and, unless `labelled_only`, unlabelled ones beside them."""
        failpoint("stage_one")
        device = self.run.device
        rows, visits = self.batches.at(step)
        taps, shifted = self.items.take(rows, visits, device)
        batch = StageOneBatch(taps, shifted, torch.from_numpy(self.labels[rows]).to(device))
        if labelled_only or not len(self.unlabelled):
            return batch
        rows, visits = self.more.at(step)
        guesses = None if guesses_NK is None else guesses_NK[torch.from_numpy(rows)].to(device).float()
        return batch._replace(unlabelled=self.unlabelled.take(rows, visits, device), guesses_UK=guesses)

    @torch.no_grad()
    def _guesses(self, model: Model) -> Tensor:
        """What a model makes of the unlabelled images, the mean over their views: float16 [N, K] on the CPU."""
        model.eval()
        parts = []
        for piece_NVW in self.unlabelled.taps.pieces(max(1, _VIEWS_AT_ONCE // self.unlabelled.taps.shape[1])):
            logits = logits_of(model(torch.from_numpy(piece_NVW).to(self.run.device).float().flatten(0, 1)))
            sharp = (logits / _GUESS_TEMPERATURE).softmax(1).unflatten(0, piece_NVW.shape[:2])
            parts.append(sharp.mean(1).half().cpu())
        return torch.cat(parts)

    def _val_values(self, model: nn.Module) -> dict[str, float]:
        logits, labels = logits_of_clean(model, self.taps.val, self.run.device), torch.from_numpy(self.pools.val.labels)
        return {
            "val_ce": float(F.cross_entropy(logits, labels)),
            "val_accuracy": float(losses.accuracy(logits, labels)),
        }

    def _fitted(self) -> dict[str, Tensor]:
        """μ and σ of all training images' taps; one pass over them serves every model."""
        if self._statistics is None:
            standardise = Standardise(self.taps.source.width)
            standardise.fit(self.taps.labelled, self.taps.unlabelled)
            self._statistics = standardise.state_dict()
        return self._statistics

    def _description(self) -> dict[str, object]:
        """What decides the outcome for every model: the taps of which images, their labels, the order."""
        taps, pools, spec = self.taps, self.pools, self.run.spec
        sources = {
            "labelled": taps.labelled,
            "shifted": taps.shifted,
            "unlabelled": taps.unlabelled,
            "unlabelled_shifted": taps.unlabelled_shifted,
            "val": taps.val,
        }
        return {
            "kind": "stage1",
            "version": _VERSION,
            "taps": {name: records.store.key for name, records in sources.items()},
            "images": {
                name: _content(pool)
                for name, pool in (("labelled", pools.labelled), ("unlabelled", pools.unlabelled), ("val", pools.val))
            },
            "widths": taps.teacher.widths,
            "classes": self.classes,
            "balance": spec.balance,
            "seed": spec.seed,
        }


def _content(pool: Pool) -> str:
    """Digest of which images there are and what they are labelled."""
    lines = "\n".join(f"{sample.id} {sample.label}" for sample in pool.samples)
    return hashlib.sha256(lines.encode()).hexdigest()
