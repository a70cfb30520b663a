"""Stage 1 as the pipeline runs it: from the teacher's taps to what stage 2 learns from.

N images, V views, W summed tap widths, B batch, K classes, D proxy width.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from app.domain.files import replaced_atomically
from app.domain.spec import Method
from app.domain.states import Stage
from worker.training import losses
from worker.training.data import Batches
from worker.training.features import clean_taps
from worker.training.loop import Hooks, Optimisation, fit
from worker.training.prepare import Images, Run, TeacherTaps
from worker.training.reprogram import LinearProbe, ProbeTask, ProxyAnswer, Reprogrammer, ReprogramTask, TapItems

_CHUNK_ROWS = 128


@dataclass(frozen=True)
class Knowledge:
    """What the teacher knows of the task: the proxy space and, beside it, a plain linear probe."""

    taps: TeacherTaps
    reprogrammer: Reprogrammer | None
    """None for `kd`, which learns from the probe."""
    probe: LinearProbe
    val_taps: Tensor
    judged_taps: Tensor

    @torch.no_grad()
    def answer(self, taps_BW: Tensor) -> ProxyAnswer:
        """What the student should learn of these views; z is a column of zeros for `kd`."""
        if self.reprogrammer is not None:
            return self.reprogrammer(taps_BW)
        return ProxyAnswer(torch.zeros(len(taps_BW), 1, device=taps_BW.device), self.probe(taps_BW))

    @torch.no_grad()
    def judged_logits(self) -> tuple[Tensor | None, Tensor]:
        """Logits of reprogrammed teacher and probe on the images of the final evaluation, on the CPU."""
        taps = self.judged_taps.to(self.probe.linear.weight.device)
        reprogrammed = self.reprogrammer(taps).logits_BK.cpu() if self.reprogrammer is not None else None
        return reprogrammed, self.probe(taps).cpu()


def reprogram(run: Run, images: Images, taps: TeacherTaps) -> Knowledge:
    """Train the probe and, unless the method is `kd`, the reprogrammer; or read them if an earlier attempt did."""
    run.reporter.begin(Stage.REPROGRAM)
    config, widths, classes = run.spec.reprogram, taps.teacher.widths, len(images.index.classes)
    items = TapItems(taps.labelled, taps.shifted, images.pools.labelled.labels)
    val_taps, judged_taps = clean_taps(taps.teacher, taps.val_squares), clean_taps(taps.teacher, taps.judged_squares)
    val_labels = torch.from_numpy(images.pools.val.labels)
    seen = [taps.labelled] if taps.unlabelled is None else [taps.labelled, taps.unlabelled]
    batch_size = min(config.batch_size, len(items))
    if batch_size < config.batch_size:
        run.reporter.event(
            "batch_clamped",
            f"Stage 1 uses batches of {batch_size}: there are no more labelled views.",
        )
    batches = Batches(np.arange(len(items)), batch_size, run.spec.seed)
    how = Optimisation(config.steps, config.learning_rate, config.weight_decay)

    def train(name: str, model: nn.Module, task: nn.Module, low: float, high: float, *, curves: bool) -> None:
        path = run.out_dir / f"{name}.safetensors"
        if path.is_file():
            model.load_state_dict(load_file(path))
            model.eval()
            return

        def val_values(model: nn.Module) -> dict[str, float]:
            with torch.no_grad():
                answer = model(val_taps.to(run.device))
            logits = (answer.logits_BK if isinstance(answer, ProxyAnswer) else answer).cpu()
            return {
                "val_ce": float(F.cross_entropy(logits, val_labels)),
                "val_accuracy": float(losses.accuracy(logits, val_labels)),
            }

        hooks = Hooks(
            metric=run.reporter.metric if curves else lambda step, values: None,
            progress=run.reporter.within(low, high),
            stop_requested=run.stop_requested,
            evaluate=val_values if len(images.pools.val) else None,
            select_lowest="val_ce",
        )
        fit(task, model, lambda step: items.batch(batches.at(step)[0], run.device), how, hooks=hooks)
        with replaced_atomically(path) as temporary:
            save_file({key: value.cpu().contiguous() for key, value in model.state_dict().items()}, temporary)

    torch.manual_seed(run.spec.seed)
    probe = LinearProbe(widths, classes).to(run.device)
    probe.standardise.fit(*seen)
    train("probe", probe, ProbeTask(probe), 0.0, 0.3, curves=run.spec.method is Method.KD)
    reprogrammer = None
    if run.spec.method is not Method.KD:
        reprogrammer = Reprogrammer(widths, classes, config).to(run.device)
        reprogrammer.standardise.fit(*seen)
        reprogrammer.start_at_class_means(taps.labelled, images.pools.labelled.labels)
        train("reprogrammed", reprogrammer, ReprogramTask(reprogrammer, config), 0.3, 1.0, curves=True)
        reprogrammer.requires_grad_(False)
    probe.requires_grad_(False)
    return Knowledge(taps, reprogrammer, probe, val_taps, judged_taps)


class Targets:
    """The teacher's answers to the views of the training images: looked up, or asked for live."""

    def __init__(self, run: Run, knowledge: Knowledge) -> None:
        self.run = run
        self.knowledge = knowledge
        self._cached = None if run.live else _answer_all(run, knowledge)
        self.views = None if self._cached is None else self._cached[1].shape[1]
        """How many views there are; None when any view can be asked for."""

    def at(self, rows_B: np.ndarray, views_B: np.ndarray) -> ProxyAnswer:
        """z [B, D] and logits [B, K], float32 on the run's device."""
        if self._cached is None:
            return self.knowledge.answer(self.knowledge.taps.source.taps(rows_B, views_B))
        z_NVD, logits_NVK = self._cached
        return ProxyAnswer(
            torch.from_numpy(z_NVD[rows_B, views_B]).to(self.run.device).float(),
            torch.from_numpy(logits_NVK[rows_B, views_B]).to(self.run.device).float(),
        )


def _answer_all(run: Run, knowledge: Knowledge) -> tuple[np.ndarray, np.ndarray]:
    """Answers to all cached taps in the order of `Pools.training`: float16 [N, V, D] and [N, V, K], memory-mapped."""
    parts = [taps for taps in (knowledge.taps.labelled, knowledge.taps.unlabelled) if taps is not None]
    shape = (sum(len(taps) for taps in parts), parts[0].shape[1])
    files = [run.cache_dir / f"answers_{name}.npy" for name in ("z", "logits")]
    written: list[np.ndarray] = []
    row = 0
    for taps in parts:
        for start in range(0, len(taps), _CHUNK_ROWS):
            chunk = torch.from_numpy(np.array(taps[start : start + _CHUNK_ROWS])).to(run.device).float()
            answer = knowledge.answer(chunk.flatten(0, 1))
            written = written or [
                np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(*shape, value.shape[1]))
                for path, value in zip(files, answer, strict=True)
            ]
            for target, value in zip(written, answer, strict=True):
                target[row : row + len(chunk)] = value.unflatten(0, chunk.shape[:2]).half().cpu().numpy()
            row += len(chunk)
    return written[0], written[1]
