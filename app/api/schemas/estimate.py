"""The JSON of an estimate."""

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, Field

from app.domain.speeds import Range
from app.domain.states import Stage
from app.services.estimates import Estimate


class RangeRead(BaseModel):
    """A number that is not known exactly."""

    low: float = Field(description="It will rarely be less.", examples=[61.0])
    expected: float = Field(description="The best guess.", examples=[80.0])
    high: float = Field(description="It will rarely be more.", examples=[110.0])

    @classmethod
    def from_range(cls, found: Range | None) -> Self | None:
        return None if found is None else cls(**{name: round(value, 1) for name, value in found._asdict().items()})


class LimitRead(BaseModel):
    """A limit that the job would run into."""

    setting: str = Field(description="The setting, or `memory` for what a worker has.", examples=["TDMR_JOB_HOURS"])
    detail: str = Field(description="By how much, in words.")


class EstimateRead(BaseModel):
    """What a job would take. Numbers come from what the workers have measured; a number that nobody knows is null, and
    `unknown` has the reason."""

    object: Literal["estimate"] = "estimate"
    seconds: RangeRead | None = Field(description="Of the run, without the wait for a worker.")
    stages: dict[Stage, RangeRead | None] = Field(
        description="Seconds a stage.", examples=[{"distill": {"low": 210, "expected": 260, "high": 340}}]
    )
    memory_bytes: RangeRead | None = Field(description="The training process's memory at its peak.")
    device_memory_bytes: RangeRead | None = Field(description="The accelerator's memory at its peak.")
    cache_bytes: int | None = Field(
        description="What it keeps in the worker's cache for later jobs, decoded images and the teacher's answers."
    )
    storage_bytes: int = Field(description="Its published weights, in all formats; reports add about a megabyte.")
    cached: list[str] = Field(
        description="Probably in the cache of the only worker host since an earlier job; `seconds` counts on it.",
        examples=[["images decoded at 160 px", "the teacher's answers"]],
    )
    measured: bool = Field(
        description="Whether each student was measured at this size; otherwise some are interpolated from others by "
        "their arithmetic, and the range is wider."
    )
    machines: list[str] = Field(
        description="The kinds of machines that may take the job; with several, the range spans all of them."
    )
    unknown: dict[str, str] = Field(
        description="Why a number is null, by its name.",
        examples=[{"device_memory_bytes": "the workers train on the CPU"}],
    )
    limits: list[LimitRead] = Field(description="Limits that it would run into, as this service is configured.")
    warnings: list[str] = Field(description="As the created job's `warnings`.")
    estimated_start: datetime | None = Field(description="When a worker would probably take the job.")

    @classmethod
    def from_estimate(cls, found: Estimate) -> Self:
        return cls(
            seconds=RangeRead.from_range(found.seconds),
            stages={stage: RangeRead.from_range(seconds) for stage, seconds in found.stages.items()},
            memory_bytes=RangeRead.from_range(found.memory_bytes),
            device_memory_bytes=RangeRead.from_range(found.device_memory_bytes),
            cache_bytes=found.cache_bytes,
            storage_bytes=found.storage_bytes,
            cached=list(found.cached),
            measured=found.measured,
            machines=list(found.machines),
            unknown=dict(found.unknown),
            limits=[LimitRead(setting=limit.setting, detail=limit.detail) for limit in found.limits],
            warnings=list(found.warnings),
            estimated_start=found.estimated_start,
        )
