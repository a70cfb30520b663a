"""What stage 1 trains on a teacher's taps: each model once for all jobs of the host.

N images, V views, W summed tap widths, K classes.
"""

import hashlib
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.domain.failpoints import failpoint
from app.domain.speeds import Work
from worker.training import losses
from worker.training.data.class_weights import class_weights
from worker.training.data.decoded import Batches, Pool
from worker.training.data.pools import Images
from worker.training.engine.loop import Hooks, Optimisation, fit
from worker.training.run import Run
from worker.training.teacher.features import TeacherTaps
from worker.training.teacher.proxy_space import LinearProbe, Reprogrammer, StageOneBatch, Standardise, TapItems
from worker.training.teacher.task_teacher import TaskTeacher, logits_of, logits_of_clean

_VIEWS_AT_ONCE = 1024
_VERSION = 2
"""To be raised when stage 1 makes something else of the same taps and settings: what is kept is then of no use."""
_GUESS_TEMPERATURE = 0.5
"""Guesses are sharpened before they are averaged and learned: 73 % where unsharpened ones gave 72 %."""
_UNLABELLED_SEED = 3_000_017  # unlabelled images come in an order of their own

Model = TypeVar("Model", LinearProbe, Reprogrammer)


class StageOne:
    """Trains models on the labelled images' taps, each once for all jobs of the host."""

    def __init__(self, run: Run, images: Images, taps: TeacherTaps, number: int, count: int) -> None:
        """`number`: of these taps among `count` that are trained on, one after another."""
        self.run, self.taps = run, taps
        self._number, self._count = number, count
        self.pools, self.classes = images.pools, len(images.index.classes)
        config, spec = run.spec.reprogram, run.spec
        labels = images.pools.labelled.labels
        self.labels = labels
        self.items = TapItems(taps.labelled, taps.shifted)
        self.unlabelled = TapItems(taps.unlabelled, taps.unlabelled_shifted)
        batch_size = min(config.batch_size, len(self.items))
        if batch_size < config.batch_size and number == 0:
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
                who = "this teacher" if self._count == 1 else self.taps.name
                run.reporter.event(
                    "reprogram_reused",
                    f"Stage 1 is reused: it was trained before on this data, with {who} and these settings.",
                )
                run.reporter.metric((self._number + 1) * rounds * spec.reprogram.steps, last)
        else:
            guesses_NK, began = None, time.monotonic()
            for number in range(rounds):
                if number:
                    guesses_NK, model = self._guesses(model), self._begun(build)
                model.standardise.load_state_dict(self._fitted())
                low, high = (self._done(share[0] + (share[1] - share[0]) * at / rounds) for at in (number, number + 1))
                first_step = (self._number * rounds + number) * spec.reprogram.steps
                last = self._train(model, task(model), guesses_NK, first_step, (low, high), leads=leads)
            run.cache.save_state(description, model.state_dict(), last)
            run.reporter.learned(Work.REPROGRAM, time.monotonic() - began, rounds * spec.reprogram.steps, name)
        run.reporter.progress(self._done(share[1]))
        if leads:
            self._last = (self._number + 1) * rounds * spec.reprogram.steps, last
        return model.eval().requires_grad_(False)

    def judge(self, teacher: TaskTeacher) -> None:
        """Add to the last point of the curves how many validation images teacher and probe have right: the levels that
        the student's curve is held against. What is delivered is the best evaluation, so its end is not the curve's."""
        if len(self.pools.val):
            step, values = self._last
            levels = {"probe_val_accuracy": self._val_values(teacher.probe)["val_accuracy"]}
            if teacher.blend is not None:
                levels["teacher_val_accuracy"] = self._val_values(teacher.blend)["val_accuracy"]
            self.run.reporter.metric(step, values | levels)

    def _done(self, share: float) -> float:
        """Of the stage, once these taps have so much behind them."""
        return (self._number + share) / self._count

    def _begun(self, build: Callable[[], Model]) -> Model:
        torch.manual_seed(self.run.spec.seed)
        return build().to(self.run.device)

    def _train(
        self,
        model: Model,
        task: nn.Module,
        guesses_NK: Tensor | None,
        first_step: int,
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
                run.reporter.metric(first_step + step, values)

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
            standardise = Standardise(sum(self.taps.widths))
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
            "taps": {name: records.key for name, records in sources.items()},
            "images": {
                name: _content(pool)
                for name, pool in (("labelled", pools.labelled), ("unlabelled", pools.unlabelled), ("val", pools.val))
            },
            "widths": taps.widths,
            "classes": self.classes,
            "balance": spec.balance,
            "seed": spec.seed,
        }


def _content(pool: Pool) -> str:
    """Digest of which images there are and what they are labelled."""
    lines = "\n".join(f"{sample.id} {sample.label}" for sample in pool.samples)
    return hashlib.sha256(lines.encode()).hexdigest()
