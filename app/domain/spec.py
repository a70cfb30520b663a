"""What a user may ask for: the method, its models and the options of each stage."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, StrictBool, ValidationInfo, field_validator, model_validator

from app.domain.base import Frozen, WholeNumber
from app.domain.config import DistillConfig, ExportConfig, ReprogramConfig, StudentConfig, ViewConfig
from app.domain.methods import METHODS, STORED, MethodInfo, MethodName, find_method
from app.domain.model_selection import Constraints
from app.domain.names import Metadata, ModelName
from app.domain.tracking import Track
from app.domain.urls import WebUrl


class TrainingSpec(Frozen):
    """Everything the training package needs to know; `python -m worker.training SPEC.json …` reads this."""

    teacher: ModelName | None = Field(default=None, examples=["vit_small_patch14_dinov2.lvd142m"])
    """A frozen teacher from `GET /v1/teachers`. Needed by every method but `scratch`."""
    teachers: Annotated[tuple[ModelName, ...], Field(min_length=1, max_length=4)] | None = None
    """Several frozen teachers, instead of `teacher`. Each is reprogrammed alone, and all together into one proxy space;
    the validation images choose how much each of these says, so one that knows nothing of the task does no harm."""
    student: ModelName | None = Field(default=None, examples=["mobilenetv3_small_050"])
    """The architecture to train, from `GET /v1/students`."""
    students: Annotated[tuple[ModelName, ...], Field(min_length=1, max_length=16)] | None = None
    """Several architectures in one job, instead of `student`: the teacher is asked and reprogrammed once for all."""
    pretrained: Literal["auto"] | StrictBool = "auto"
    """Whether a student starts from its own pretrained weights. `auto`: where the worker has some or can download them;
    the manifest says what was taken. `true`: they must be there. `finetune` always does, `scratch` only if `true`."""
    image_size: WholeNumber = Field(default=160, ge=16, le=1024)
    """Side in pixels of the student's square input."""
    method: MethodName = "tdmr"
    """How the student learns. All methods run in the same loop with the same budget and the same views."""
    balance: Literal["none", "sampling", "loss"] = "none"
    """What to do about rare classes. `sampling` shows labelled images of all classes equally often; `loss` weighs the
    cross-entropy by the inverse of the class's frequency, mean 1; `none` takes the data as it is."""
    views: ViewConfig = ViewConfig()
    """How images are cut."""
    reprogram: ReprogramConfig = ReprogramConfig()
    """Stage 1: the teacher's proxy space."""
    distill: DistillConfig = DistillConfig()
    """Stage 2: the student learns."""
    export: ExportConfig = ExportConfig()
    """The formats of the student."""
    constraints: Constraints | None = None
    """What the device and the task demand. The most accurate file that fits is chosen; if none fits, the job says which
    comes closest and by how much it misses, and succeeds all the same. `{}` asks for the most accurate file."""
    seed: WholeNumber = Field(default=0, ge=0, lt=2**31)
    """Fixes initial weights, batch order and jitter: on one CPU the same seed gives the same student, where the way of
    computing is remembered in the worker's cache or fixed by TDMR_PRECISION."""

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Self:
        """A spec that was accepted before. Its method may be one that only workers know.

        Raises:
            ValidationError: another version of the service has written it.
        """
        return cls.model_validate(stored, context=STORED)

    @field_validator("distill")
    @classmethod
    def _own_options_are_the_methods(cls, distill: DistillConfig, info: ValidationInfo) -> DistillConfig:
        if distill.own and info.data.get("method") in METHODS:  # else the method was refused, or the spec is stored
            METHODS[info.data["method"]].check(distill.own)
        return distill

    @model_validator(mode="after")
    def _teacher_where_needed(self) -> Self:
        if self.teacher is not None and self.teachers is not None:
            raise ValueError("name 'teacher' or 'teachers', not both")
        if self.teachers is not None and len(set(self.teachers)) != len(self.teachers):
            raise ValueError("a teacher is named twice")
        if not self.every_teacher and self.method_info.needs_teacher:
            without = ", ".join(f"'{info.name}'" for info in METHODS.values() if not info.needs_teacher)
            raise ValueError(f"method '{self.method}' needs a teacher; without one run {without}")
        if len(self.every_teacher) > 1 and self.method_info.needs_taps:
            raise ValueError(
                f"method '{self.method}' copies the features of one teacher: name 'teacher' instead of 'teachers', or "
                "choose a method that learns from answers, such as 'tdmr'"
            )
        return self

    @model_validator(mode="after")
    def _one_way_to_name_students(self) -> Self:
        if self.student is not None and self.students is not None:
            raise ValueError("name 'student' or 'students', not both")
        if self.method_info.needs_student and self.student is None and self.students is None:
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
    def method_info(self) -> MethodInfo:
        return find_method(self.method)

    @property
    def every_teacher(self) -> tuple[str, ...]:
        """All teachers that the job names, in their order; what a method without one makes of them is nothing."""
        if self.teachers is not None:
            return self.teachers
        return (self.teacher,) if self.teacher is not None else ()

    @property
    def every_student(self) -> tuple[str, ...]:
        """All students of the job, in the order they are trained; none for `probe`."""
        if not self.method_info.needs_student:
            return ()
        if self.students is not None:
            return self.students
        return (self.student,) if self.student is not None else ()

    @property
    def starts_pretrained(self) -> bool:
        """Whether every student does for certain. Where it is `auto`, the worker decides for each (`for_student`)."""
        return self.pretrained is True or self.method_info.starts_pretrained

    @property
    def may_start_pretrained(self) -> bool:
        return self.starts_pretrained or (self.pretrained == "auto" and not self.method_info.starts_random)

    @property
    def labels_only_method(self) -> str:
        """The method that trains the same initial student on labels alone."""
        return "finetune" if self.starts_pretrained else "scratch"

    @property
    def unread_options(self) -> list[str]:
        """The options of `distill` that differ from their defaults and that the method does not read."""
        given = {name for name in type(self.distill).model_fields if getattr(self.distill, name) != _DEFAULT[name]}
        everywhere = StudentConfig.model_fields.keys() if self.method_info.needs_student else set()
        return sorted(given - set(self.method_info.reads) - everywhere)

    @property
    def peak_learning_rate(self) -> float:
        """Of stage 2: the user's, or the default that `DistillConfig.learning_rate` describes."""
        chosen = self.distill.learning_rate
        if chosen is not None:
            return chosen
        return (1e-2 if self.distill.optimiser == "muon" else 3e-3) * (0.1 if self.starts_pretrained else 1.0)

    def for_student(self, student: str, *, pretrained: bool) -> "TrainingSpec":
        """The spec of a job that trains this student alone, from pretrained or from random weights."""
        return self.model_copy(update={"student": student, "students": None, "pretrained": pretrained})

    def for_teacher(self, teacher: str) -> "TrainingSpec":
        """The spec of a job that has this teacher alone."""
        return self.model_copy(update={"teacher": teacher, "teachers": None})

    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON: equal specs have equal fingerprints, also in versions that lack an option."""
        told = self.model_dump(mode="json")
        if told["teachers"] is None:
            del told["teachers"]  # it came after the first release too
        for name in _LATER:
            if told["distill"][name] == _DEFAULT[name]:
                del told["distill"][name]
        canonical = json.dumps(told, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


_DEFAULT = DistillConfig().model_dump()
_LATER = ("head_first",)
"""Options of `distill` that came after the first release. At their defaults they leave the fingerprint as it was, by
which a run on disk is known: a job goes on under a new version."""


class JobSpec(TrainingSpec):
    """The body of `POST /v1/jobs`: a training spec, the data it runs on, and how it is queued."""

    dataset_id: str = Field(min_length=1, max_length=64, examples=["ds_01JCZ7Q5W3N0R8V6T4X2Y1A9BC"])
    """A data set that is `ready`."""
    priority: WholeNumber = Field(default=0, ge=-100, le=100)
    """Higher runs earlier among queued jobs."""
    metadata: Metadata = {}
    """Labels of your own: at most 16 pairs of text. `GET /v1/jobs?metadata[key]=value` filters by them."""

    def training(self) -> TrainingSpec:
        """The part the training package sees."""
        return TrainingSpec(**{name: getattr(self, name) for name in TrainingSpec.model_fields})


class Reporting(NamedTuple):
    """Who is told of a job, and where it is logged when it ends."""

    webhook_url: str | None = None
    track: dict[str, Any] | None = None
    """A `Track`, as it is stored."""


class JobCreate(JobSpec):
    """A new job: its spec, who is told of it and where it is logged. These two are no part of the spec, which says what
    the job computes."""

    webhook_url: WebUrl | None = Field(
        default=None,
        description="Each change of the job's state is sent here, signed with the secret of the webhook `default` "
        "(`POST /v1/webhooks/default/rotate-secret` shows one).",
        examples=["https://example.com/hooks/tdmr"],
    )
    track: Track | None = Field(
        default=None,
        description="Have the service log the job when it ends, on the operator's tracking server. 422 "
        "`tracking_not_configured` where there is none.",
        examples=[{"mlflow": {"experiment": "flowers"}}],
    )

    def spec(self) -> JobSpec:
        """What the job computes."""
        return JobSpec(**{name: getattr(self, name) for name in JobSpec.model_fields})

    def reporting(self) -> Reporting:
        """What the spec leaves out."""
        return Reporting(self.webhook_url, None if self.track is None else self.track.model_dump(mode="json"))
