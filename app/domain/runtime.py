"""The settings of a training process: what its machine decides, while the spec says what is trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationError

from app.domain.base import Frozen
from app.domain.errors import TrainingFailed

MAX_CHECKPOINT_SECONDS = 30.0


class RuntimeConfig(Frozen):
    """Built once, where the process begins. Each field is also an environment variable: `TDMR_` and its name."""

    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1`."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """`auto`: whatever is fastest on this machine. Fix it, or share a cache folder, where two runs must agree bit for
    bit."""
    cache_dir: Path | None = None
    """Shared by all runs of a host. None: a folder of the run's own."""
    cache_gb: float = Field(default=20.0, gt=0)
    """Bound of the cache, in 10⁹ bytes."""
    models_dir: Path | None = None
    """A folder of local teachers, beside the built-in ones."""
    hub: bool = True
    """Offer timm's pretrained teachers, downloaded at first use."""
    confine: bool = True
    """Give up the network once the weights are there, before the first image is read."""
    checkpoint_seconds: Annotated[float, AfterValidator(lambda seconds: min(MAX_CHECKPOINT_SECONDS, seconds))] = Field(
        default=MAX_CHECKPOINT_SECONDS, ge=0
    )
    """A run that is killed repeats at most this much work; never more than 30."""
    threads: int | None = Field(default=None, ge=1)
    """Of arithmetic on the CPU. None: what torch finds, or OMP_NUM_THREADS says."""
    log_level: str = "info"
    """Of the JSON lines on standard error."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """
        Raises:
            TrainingFailed: a variable has a value that it cannot have.
        """
        variables = {name: f"TDMR_{name.upper()}" for name in cls.model_fields}
        given = {name: value for name, variable in variables.items() if (value := environment.get(variable))}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            raise TrainingFailed(
                f"{variables[name]} is '{given[name]}'.", hint=f"Correct it on the worker: {first['msg']}."
            ) from error

    @classmethod
    def read(cls, path: Path | None, environment: Mapping[str, str]) -> Self:
        """From the file, or from the environment where none is given."""
        return cls.from_environment(environment) if path is None else cls.model_validate_json(path.read_bytes())
