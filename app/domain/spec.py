"""What a user may ask for: the method, its models and the knobs of each stage."""

import hashlib
import json
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, StrictBool, model_validator

from app.domain.base import Frozen, WholeNumber
from app.domain.choice import Constraints
from app.domain.knobs import DistillConfig, ExportConfig, ReprogramConfig, ViewConfig
from app.domain.names import Metadata, ModelName


class Method(StrEnum):
    """How the student learns. All run in the same loop with the same budget and the same views."""

    TDMR = "tdmr"
    """Reprogram the teacher, then distil progressively from the proxy space."""
    REPROGRAMMED_KD = "reprogrammed-kd"
    """Reprogram the teacher, then plain KD from its logits: the key control for alignment and progression."""
    KD = "kd"
    """A linear probe on the frozen teacher, then KD from the probe's logits (Hinton et al., 2015)."""
    FITNET = "fitnet"
    """`kd`, and each student stage regresses the teacher's tap at its depth (Romero et al., 2015)."""
    RKD = "rkd"
    """`kd`, and distances and angles between the images of a batch are matched (Park et al., 2019)."""
    DKD = "dkd"
    """KD decoupled into the target class and the others, weighted apart (Zhao et al., 2022)."""
    DIST = "dist"
    """KD by correlation between and within classes instead of KL (Huang et al., 2022)."""
    SIMKD = "simkd"
    """The student learns the teacher's features and takes over the probe as its classifier (Chen et al., 2022)."""
    PROBE = "probe"
    """The linear probe alone: how good the frozen teacher is on this data. Trains no student."""
    FINETUNE = "finetune"
    """Cross-entropy on the labels, from the student's own pretrained weights. Needs no teacher."""
    SCRATCH = "scratch"
    """Cross-entropy on the labels alone: the floor every method must beat. Needs no teacher."""

    @property
    def needs_teacher(self) -> bool:
        return self not in (Method.SCRATCH, Method.FINETUNE)

    @property
    def needs_student(self) -> bool:
        return self is not Method.PROBE

    @property
    def reprograms(self) -> bool:
        """Whether stage 1 builds a proxy space; the others learn from the teacher's linear probe, or from labels."""
        return self in (Method.TDMR, Method.REPROGRAMMED_KD)


class TrainingSpec(Frozen):
    """Everything the training room needs to know; `python -m worker.training SPEC.json …` reads this."""

    teacher: ModelName | None = None
    """A frozen teacher from `GET /v1/teachers`. Needed by every method but `scratch`."""
    student: ModelName | None = None
    """The architecture to train, from `GET /v1/students`."""
    students: Annotated[tuple[ModelName, ...], Field(min_length=1, max_length=16)] | None = None
    """Several architectures in one job, instead of `student`: the teacher is asked and reprogrammed once for all."""
    pretrained: StrictBool = False
    """Start from the student's own pretrained weights where timm or the worker has some; `finetune` always does."""
    image_size: WholeNumber = Field(default=160, ge=16, le=1024)
    """Side in pixels of the student's square input."""
    method: Method = Method.TDMR
    """How the student learns; a baseline's name is accepted too."""
    balance: Literal["none", "sampling", "loss"] = "none"
    """What to do about rare classes. `sampling` shows labelled images of all classes equally often; `loss` weighs the
    cross-entropy by the inverse of the class's frequency, mean 1; `none` takes the data as it is."""
    views: ViewConfig = ViewConfig()
    reprogram: ReprogramConfig = ReprogramConfig()
    distill: DistillConfig = DistillConfig()
    export: ExportConfig = ExportConfig()
    constraints: Constraints | None = None
    """What the device and the task demand. The most accurate file that fits is chosen; if none fits, the job says which
    comes closest and by how much it misses, and succeeds all the same. `{}` asks for the most accurate file."""
    seed: WholeNumber = Field(default=0, ge=0, lt=2**31)
    """Fixes initial weights, batch order and jitter: on one CPU the same seed gives the same student, where the way of
    computing is remembered in the worker's cache or fixed by TDMR_PRECISION."""

    @model_validator(mode="after")
    def _teacher_where_needed(self) -> Self:
        if self.teacher is None and self.method.needs_teacher:
            raise ValueError(f"method '{self.method}' needs a teacher; only 'scratch' and 'finetune' run without one")
        return self

    @model_validator(mode="after")
    def _one_way_to_name_students(self) -> Self:
        if self.student is not None and self.students is not None:
            raise ValueError("name 'student' or 'students', not both")
        if self.method.needs_student and self.student is None and self.students is None:
            raise ValueError(f"method '{self.method}' needs a student: name 'student', or 'students' for several")
        if self.students is not None and len(set(self.students)) != len(self.students):
            raise ValueError("a student is named twice")
        return self

    @model_validator(mode="after")
    def _latency_is_measured(self) -> Self:
        if self.constraints is not None and self.constraints.max_latency_ms is not None and not self.export.measure:
            raise ValueError("constraints.max_latency_ms needs export.measure, which is off")
        return self

    @property
    def every_student(self) -> tuple[str, ...]:
        """All students of the job, in the order they are trained; none for `probe`."""
        if not self.method.needs_student:
            return ()
        if self.students is not None:
            return self.students
        return (self.student,) if self.student is not None else ()

    @property
    def starts_pretrained(self) -> bool:
        return self.pretrained or self.method is Method.FINETUNE

    @property
    def alone(self) -> "Method":
        """The method that trains the same initial student on labels alone."""
        return Method.FINETUNE if self.starts_pretrained else Method.SCRATCH

    @property
    def peak_learning_rate(self) -> float:
        """Of stage 2: the user's, or the default that `DistillConfig.learning_rate` describes."""
        chosen = self.distill.learning_rate
        if chosen is not None:
            return chosen
        return (1e-2 if self.distill.optimiser == "muon" else 3e-3) * (0.1 if self.starts_pretrained else 1.0)

    def for_student(self, student: str) -> "TrainingSpec":
        """The spec of a job that trains this student alone."""
        return self.model_copy(update={"student": student, "students": None})

    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON: equal specs have equal fingerprints."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


class JobSpec(TrainingSpec):
    """The body of `POST /v1/jobs`: a training spec, the data it runs on, and how it is queued."""

    dataset_id: str = Field(min_length=1, max_length=64)
    """A data set that is `ready`."""
    priority: WholeNumber = Field(default=0, ge=-100, le=100)
    """Higher runs earlier among queued jobs."""
    metadata: Metadata = {}

    def training(self) -> TrainingSpec:
        """The part the training room sees."""
        return TrainingSpec(**{name: getattr(self, name) for name in TrainingSpec.model_fields})
