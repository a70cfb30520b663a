"""Stage 1 as the pipeline runs it: from the teacher's taps to what stage 2 learns from.

N images, V views, W summed tap widths, B batch, K classes, D proxy width.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from app.domain.files import replaced_atomically
from app.domain.states import Stage
from worker.training import losses
from worker.training.balance import class_weights
from worker.training.data import Batches, Pool
from worker.training.distill import needs_taps
from worker.training.loop import Hooks, Optimisation, fit
from worker.training.models import state_digest
from worker.training.prepare import Images, Run, TeacherTaps
from worker.training.records import Records
from worker.training.reprogram import (
    LinearProbe,
    ProbeTask,
    ProxyAnswer,
    Reprogrammer,
    ReprogramTask,
    Standardise,
    TapItems,
)

_AT_ONCE = 1024  # views or clean images
_VERSION = 1
"""To be raised when stage 1 makes something else of the same taps and settings: what is kept is then of no use."""
_PROBE_KNOBS = {"steps", "batch_size", "learning_rate", "weight_decay"}
_PROBE_SHARE = 0.3  # of the stage's progress, where a reprogrammer follows

Model = TypeVar("Model", LinearProbe, Reprogrammer)


class Lesson(NamedTuple):
    """What the student should learn of a batch of views; float32 on the run's device."""

    z_BD: Tensor | None
    """Unit vectors in the proxy space, where the method has one."""
    logits_BK: Tensor
    """Of the reprogrammed teacher, else of the probe."""
    taps_BW: Tensor | None
    """The teacher's standardised taps, where the method asks for them."""


@dataclass(frozen=True)
class Knowledge:
    """What the teacher knows of the task: the proxy space and, beside it, a plain linear probe."""

    taps: TeacherTaps
    reprogrammer: Reprogrammer | None
    """None for the methods that learn from the probe."""
    probe: LinearProbe

    @property
    def model(self) -> LinearProbe | Reprogrammer:
        """Whoever teaches the student."""
        return self.probe if self.reprogrammer is None else self.reprogrammer

    @torch.no_grad()
    def answer(self, taps_BW: Tensor) -> Lesson:
        """What the student should learn of views with these taps, which lie on the run's device."""
        answer = self.model(taps_BW)
        if isinstance(answer, ProxyAnswer):
            return Lesson(answer.z_BD, answer.logits_BK, None)
        return Lesson(None, answer, None)

    def judged_logits(self) -> tuple[Tensor | None, Tensor]:
        """Logits of reprogrammed teacher and probe on the images of the final evaluation, on the CPU."""
        judged, device = self.taps.judged, self.probe.linear.weight.device
        reprogrammed = None if self.reprogrammer is None else _logits(self.reprogrammer, judged, device)
        return reprogrammed, _logits(self.probe, judged, device)


def reprogram(run: Run, images: Images, taps: TeacherTaps) -> Knowledge:
    """Train the probe and, where the method has a proxy space, the reprogrammer; or take what a job has trained before.

    Both are written to the output folder.
    """
    run.reporter.begin(Stage.REPROGRAM)
    stage = _StageOne(run, images, taps)
    config, widths, classes = run.spec.reprogram, taps.teacher.widths, len(images.index.classes)
    alone = not run.spec.method.reprograms
    probe = stage.trained(
        "probe",
        lambda: LinearProbe(widths, classes),
        lambda probe: ProbeTask(probe, stage.weights_K),
        config.model_dump(include=_PROBE_KNOBS),
        share=(0.0, 1.0 if alone else _PROBE_SHARE),
        leads=alone,
    )
    if alone:
        return Knowledge(taps, None, probe)

    def task(reprogrammer: Reprogrammer) -> ReprogramTask:
        reprogrammer.start_at_class_means(taps.labelled, images.pools.labelled.labels)
        return ReprogramTask(reprogrammer, config, stage.weights_K)

    reprogrammer = stage.trained(
        "reprogrammed",
        lambda: Reprogrammer(widths, classes, config),
        task,
        config.model_dump(),
        share=(_PROBE_SHARE, 1.0),
        leads=True,
    )
    return Knowledge(taps, reprogrammer, probe)


class Targets:
    """The teacher's answers to the views of the training images: looked up, or asked for live."""

    def __init__(self, run: Run, knowledge: Knowledge) -> None:
        self.run = run
        self.knowledge = knowledge
        self._taps: Records | None = None
        self._lessons: Records | None = None
        self._wants_taps = needs_taps(run.spec.method)
        self._keys_N = knowledge.taps.pool.keys
        if not run.live:
            taps = knowledge.taps
            self._taps = taps.labelled.store.view(taps.pool.ids)
            self._lessons = _answer_all(run, knowledge, self._taps)
        self.views = None if self._taps is None else self._taps.shape[1]
        """How many views there are; None when any view can be asked for."""

    def at(self, rows_B: np.ndarray, views_B: np.ndarray) -> Lesson:
        """What is to be learned of these views of images of `Pools.training`."""
        if self._taps is None or self._lessons is None:
            taps = self._ask(rows_B, views_B)
            return self.knowledge.answer(taps)._replace(taps_BW=self._standardised(taps) if self._wants_taps else None)
        both = torch.from_numpy(self._lessons.take(rows_B, views_B)).to(self.run.device).float()
        reprogrammer = self.knowledge.reprogrammer
        width = 0 if reprogrammer is None else reprogrammer.width
        taps_BW = None
        if self._wants_taps:
            read = torch.from_numpy(self._taps.take(rows_B, views_B))
            taps_BW = self._standardised(read.to(self.run.device).float())
        return Lesson(both[:, :width] if width else None, both[:, width:], taps_BW)

    def _ask(self, rows_B: np.ndarray, views_B: np.ndarray) -> Tensor:
        taps = self.knowledge.taps
        assert taps.squares is not None
        return taps.source.taps(taps.squares[rows_B], self._keys_N[rows_B], views_B, shifted=False)

    @torch.no_grad()
    def _standardised(self, taps_BW: Tensor) -> Tensor:
        return self.knowledge.probe.standardise(taps_BW)


class _StageOne:
    """Trains models on the labelled images' taps, each once for all jobs of the host."""

    def __init__(self, run: Run, images: Images, taps: TeacherTaps) -> None:
        self.run, self.taps = run, taps
        self.pools, self.classes = images.pools, len(images.index.classes)
        config, spec = run.spec.reprogram, run.spec
        labels = images.pools.labelled.labels
        self.items = TapItems(taps.labelled, taps.shifted, labels)
        batch_size = min(config.batch_size, len(self.items))
        if batch_size < config.batch_size:
            run.reporter.event(
                "batch_clamped", f"Stage 1 uses batches of {batch_size}: there are no more labelled views."
            )
        self.batches = Batches(
            np.arange(len(labels)), batch_size, spec.seed, labels if spec.balance == "sampling" else None
        )
        self.weights_K = class_weights(labels, self.classes).to(run.device) if spec.balance == "loss" else None
        self.how = Optimisation(config.steps, config.learning_rate, config.weight_decay)
        self._statistics: dict[str, Tensor] | None = None

    def trained(
        self,
        name: str,
        build: Callable[[], Model],
        task: Callable[[Model], nn.Module],
        knobs: dict[str, object],
        *,
        share: tuple[float, float],
        leads: bool,
    ) -> Model:
        """The model that `build` makes, trained by the task that `task` makes of it, then frozen.

        Args:
            knobs: what of the spec decides the outcome, beside what decides it for every model.
            leads: whether its curves are the stage's.
        """
        run, spec = self.run, self.run.spec
        torch.manual_seed(spec.seed)
        model = build().to(run.device)
        description = {"model": name, "knobs": knobs, **self._description()}
        kept = run.cache.load_state(description)
        if kept is not None:
            state, last = kept
            model.load_state_dict(state)
            if leads:
                run.reporter.event(
                    "reprogram_reused",
                    "Stage 1 is reused: it was trained before on this data, with this teacher and these settings.",
                )
                run.reporter.metric(spec.reprogram.steps, last)
        else:
            model.standardise.load_state_dict(self._fitted())
            last = self._train(model, task(model), share, leads=leads)
            run.cache.save_state(description, model.state_dict(), last)
        with replaced_atomically(run.out_dir / f"{name}.safetensors") as temporary:
            save_file({key: value.cpu().contiguous() for key, value in model.state_dict().items()}, temporary)
        run.reporter.progress(share[1])
        return model.eval().requires_grad_(False)

    def _train(self, model: Model, task: nn.Module, share: tuple[float, float], *, leads: bool) -> dict[str, float]:
        """Returns the last point of the curves."""
        run, last = self.run, {}

        def metric(step: int, values: dict[str, float]) -> None:
            last.update(values)
            if leads:
                run.reporter.metric(step, values)

        hooks = Hooks(
            metric=metric,
            progress=run.reporter.within(*share),
            stop_requested=run.stop_requested,
            evaluate=self._val_values if len(self.pools.val) else None,
            select_lowest="val_ce",
        )
        fit(task, model, lambda step: self.items.batch(*self.batches.at(step), run.device), self.how, hooks=hooks)
        return last

    def _val_values(self, model: nn.Module) -> dict[str, float]:
        logits, labels = _logits(model, self.taps.val, self.run.device), torch.from_numpy(self.pools.val.labels)
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
        sources = {"labelled": taps.labelled, "shifted": taps.shifted, "unlabelled": taps.unlabelled, "val": taps.val}
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


@torch.no_grad()
def _logits(model: nn.Module, taps: Records, device: torch.device) -> Tensor:
    """Logits [N, K] of a model in eval mode for the taps of clean images, on the CPU."""
    answers = (model(torch.from_numpy(piece).to(device)) for piece in taps.pieces(_AT_ONCE))
    return torch.cat([(one.logits_BK if isinstance(one, ProxyAnswer) else one).cpu() for one in answers])


def _answer_all(run: Run, knowledge: Knowledge, taps: Records) -> Records:
    """Answers to all kept taps [N, V, W]: z, where there is one, and logits side by side, float16 [N, V, D + K]."""
    model = knowledge.model
    classes = knowledge.probe.linear.out_features
    width = classes if knowledge.reprogrammer is None else knowledge.reprogrammer.width + classes
    description = {"kind": "lessons", "version": _VERSION, "model": state_digest(model), "taps": taps.store.key}

    def compute(rows: np.ndarray) -> np.ndarray:
        chunk = torch.from_numpy(taps[rows]).to(run.device).float()
        lesson = knowledge.answer(chunk.flatten(0, 1))
        both = lesson.logits_BK if lesson.z_BD is None else torch.cat([lesson.z_BD, lesson.logits_BK], 1)
        return both.unflatten(0, chunk.shape[:2]).half().cpu().numpy()

    return run.cache.store(description, (taps.shape[1], width), np.float16).fill(
        knowledge.taps.pool.ids,
        compute,
        at_once=max(1, _AT_ONCE // taps.shape[1]),
        on_progress=lambda fraction: None,
        stop_requested=run.stop_requested,
    )
