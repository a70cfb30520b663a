"""One training run: what every stage needs to know of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import torch

from app.domain.runtime import RuntimeConfig
from app.domain.spec import TrainingSpec
from app.domain.speeds import Speeds
from worker.training.data.cache import Cache
from worker.training.engine.autotune import tune_muon, tune_student
from worker.training.engine.reporter import Reporter
from worker.training.models.initial_weights import choose_initial_weights
from worker.training.models.networks import Student


@dataclass(frozen=True)
class Run:
    """What is trained, from what, into which folder, and with which settings."""

    spec: TrainingSpec
    data_dir: Path
    out_dir: Path
    runtime: RuntimeConfig
    reporter: Reporter
    stop_requested: Callable[[], bool]
    speeds: Speeds = field(default_factory=lambda: Speeds(()))
    """What is known of this machine."""

    @cached_property
    def device(self) -> torch.device:
        name = self.runtime.device
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        return torch.device(name)

    @cached_property
    def cache(self) -> Cache:
        """Shared by the jobs of this host; the run's own where the settings name no folder."""
        root = self.runtime.cache_dir or self.out_dir / "cache"
        limit_bytes = int(self.runtime.cache_gb * 1e9)
        return Cache(root, limit_bytes, self.reporter.event, self.runtime.checkpoint_seconds)

    @cached_property
    def initial_weights(self) -> dict[str, str | None]:
        """By student the name of the pretrained weights that it begins from; None: random ones."""
        return choose_initial_weights(self.spec, self.runtime, self.out_dir, partial(self.reporter.event, warning=True))

    @property
    def live(self) -> bool:
        """Whether the teacher answers during stage 2 instead of before it."""
        mode = self.spec.views.mode
        return mode == "live" or (mode == "auto" and self.device.type == "cuda")

    def tune(self, student: Student) -> Student:
        """Let its steps be the fastest: itself, and the optimiser."""
        self.tune_optimiser()
        return self.tune_student(student)

    def tune_student(self, student: Student) -> Student:
        """Let the student compute in the way that is fastest on this machine."""
        batch = self.spec.distill.batch_size
        return tune_student(student, batch, self.runtime, self.out_dir, self.reporter.event)

    def tune_optimiser(self) -> None:
        """Let the optimiser of stage 2 compute in the way that is fastest on this machine."""
        if self.spec.distill.optimiser == "muon":
            tune_muon(self.device, self.runtime, self.out_dir, self.reporter.event)
