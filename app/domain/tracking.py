"""Where else a job is written down when it ends: trackers of experiments, on the operator's servers."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Self
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, SecretStr, StringConstraints

from app.domain.base import Frozen
from app.domain.progress import MetricLine

HIDDEN = "***"
JOB_FILE = "job.json"
"""A `TrackedJob`, on its way from one process to another."""
_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")


def _no_control(value: str) -> str:
    if any(character < " " or character == "\x7f" for character in value):
        raise ValueError("must not contain a control character")
    return value


ExperimentName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=250),
    AfterValidator(_no_control),
    Field(examples=["flowers"], json_schema_extra={"pattern": r"^[^\u0000-\u001f\u007f]*$"}),
]


class TrackingTarget(StrEnum):
    """A kind of tracker."""

    MLFLOW = "mlflow"


class TrackingState(StrEnum):
    """`pending` until the job has ended and has been logged. `failed`: it was tried for 17 hours. `skipped`: it ended
    before it had started, so there is nothing to log."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"


class MLflowTrack(Frozen):
    """A run on the tracking server of this service."""

    experiment: ExperimentName = "tdmr"
    """The experiment that the run belongs to; it is made where it is not there."""


class Track(Frozen):
    """Where the job is logged when it ends, by kind of tracker."""

    mlflow: MLflowTrack
    """MLflow: the spec as parameters, curves and results as metrics, the job's id, labels and data set as tags, the
    model's files. `{}` for the experiment `tdmr`."""

    def targets(self) -> list[TrackingTarget]:
        return [TrackingTarget(name) for name in type(self).model_fields if getattr(self, name) is not None]


class TrackedFile(Frozen):
    """A published file, and where it lies in the storage."""

    name: str
    bytes: int
    sha256: str
    key: str


class TrackedJob(Frozen):
    """All that a tracker is told of a job: what one process reads in the store and another one sends."""

    id: str
    state: str
    experiment: str
    url: str | None
    """Of the job's page; None where nobody has said under which address people reach the service."""
    spec: dict[str, Any]
    metadata: dict[str, str]
    dataset_id: str
    dataset_digest: str | None
    points: tuple[MetricLine, ...]
    metrics: dict[str, float]
    evaluations: dict[str, dict[str, Any]]
    """By student; under the empty text where the job has one."""
    started_at: datetime
    finished_at: datetime
    files: tuple[TrackedFile, ...]


class TrackingOutcome(Frozen):
    """What became of an attempt at logging a job; one of the two is None."""

    url: str | None
    """Of the run's page."""
    error: str | None


@dataclass(frozen=True, slots=True)
class TrackingServer:
    """Where runs are sent. User name and password are kept apart from the address: what MLflow says of a request that
    has failed repeats the address, and so does a link to a run."""

    uri: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, uri: str) -> Self:
        """
        Raises:
            ValueError: in words that never repeat the value.
        """
        try:
            parts = urlsplit(uri.strip())
            host, _ = parts.hostname, parts.port
        except ValueError:
            host = None
        if not host or parts.scheme not in {"http", "https"}:
            raise ValueError("must be the address of a server, such as http://mlflow.internal:5000")
        if parts.query or parts.fragment:
            raise ValueError("must have neither a query (?…) nor a fragment (#…): MLflow adds paths to it")
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
        return cls(bare, *(None if part is None else unquote(part) for part in (parts.username, parts.password)))


def _server(value: SecretStr) -> SecretStr:
    TrackingServer.parse(value.get_secret_value())
    return value


TrackingUri = Annotated[SecretStr, AfterValidator(_server)]
"""As `TrackingServer.parse` reads it."""


def without_secrets(text: str, secrets: Iterable[str | None]) -> str:
    """The text without these secrets, and without user names and passwords of addresses."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return _USERINFO.sub(f"{HIDDEN}@", text)
