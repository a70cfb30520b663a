"""MLflow: a run with parameters, metrics, tags and the model's files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from tdmr.errors import TdmrError
from tdmr.exports.record import Option, Record, Scalar, is_model_file, lacking

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

_STATUS = {"queued": "SCHEDULED", "succeeded": "FINISHED", "failed": "FAILED", "cancelled": "KILLED"}
_METRICS_AT_ONCE, _PARAMS_AT_ONCE, _PARAM_LENGTH = 500, 100, 6000
"""What MLflow takes in a request is 1000 metrics, 100 parameters, and 6000 characters of each."""
Thing = TypeVar("Thing")


@dataclass(frozen=True)
class MLflow:
    """One run for a job, however often it is exported: a later export adds what is new.

    Args:
        uri: of the tracking server or store. Else MLFLOW_TRACKING_URI, and what MLflow itself takes then.
        experiment: is made where it is not there.
        files: also log the model's files: weights, programs, the card, its figures.
    """

    uri: str | None = None
    experiment: str = "tdmr"
    files: bool = True

    def check(self) -> None:
        try:
            import mlflow  # noqa: F401
        except ImportError:
            raise lacking("mlflow", "mlflow") from None

    def wants(self, name: str) -> bool:
        return self.files and is_model_file(name)

    def write(self, record: Record) -> str:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
        from requests import RequestException

        try:
            return _write(MlflowClient(tracking_uri=self.uri), self.experiment, record)
        except (MlflowException, RequestException) as error:  # the latter where a file is refused
            failed = TdmrError(f"MLflow did not take the run: {error}")
            failed.hint = "The extra `mlflow` brings MLflow's client for servers; a database as a store needs `mlflow`."
            raise failed from error


def _write(client: MlflowClient, experiment: str, record: Record) -> str:
    run = _run_of(client, experiment, record)
    run_id, known = run.info.run_id, run.data.params
    _log_params(client, run_id, {name: value for name, value in record.options().items() if name not in known})
    for name, value in record.tags().items():
        client.set_tag(run_id, name, value)
    results = [Scalar(name, 0, value) for name, value in record.results.items()]
    for part in _parts(_new_metrics(client, run, [*record.curves, *results]), _METRICS_AT_ONCE):
        client.log_batch(run_id, metrics=part)
    for path in record.files():
        assert record.folder is not None
        below = path.relative_to(record.folder).parent.as_posix()
        client.log_artifact(run_id, str(path), None if below == "." else below)
    if record.finished_at is None:
        client.update_run(run_id, _STATUS.get(record.state, "RUNNING"))
    else:
        client.set_terminated(run_id, _STATUS.get(record.state, "FINISHED"), _milliseconds(record.finished_at))
    return _place(client.tracking_uri, run)


def _run_of(client: MlflowClient, experiment: str, record: Record) -> Run:
    """That of an earlier export, or a new one."""
    experiment_id = _experiment_id(client, experiment)
    earlier = client.search_runs([experiment_id], f"tags.`tdmr.job_id` = '{record.job_id}'", max_results=1)
    if earlier:
        return earlier[0]
    job = record.job_id if record.url is None else f"[{record.job_id}]({record.url})"
    tags = record.tags() | {"mlflow.note.content": f"Trained by the job {job}."}
    return client.create_run(experiment_id, _milliseconds(record.started_at), tags, run_name=record.name)


def _experiment_id(client: MlflowClient, name: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:
            found = client.get_experiment_by_name(name)
            if found is None:  # else somebody else has made it in between
                raise
    return str(found.experiment_id)


def _log_params(client: MlflowClient, run_id: str, options: Mapping[str, Option]) -> None:
    from mlflow.entities import Param

    # MLflow writes a parameter once, and refuses another value: of a job's spec there is none
    for part in _parts([Param(name, str(value)[:_PARAM_LENGTH]) for name, value in options.items()], _PARAMS_AT_ONCE):
        client.log_batch(run_id, params=part)


def _new_metrics(client: MlflowClient, run: Run, scalars: Sequence[Scalar]) -> list[Metric]:
    """Those that the run does not have: a metric that is logged twice is there twice."""
    from mlflow.entities import Metric

    known = {
        (name, point.step) for name in run.data.metrics for point in client.get_metric_history(run.info.run_id, name)
    }
    # the service keeps no time for each point, so all have the run's
    at = run.info.start_time
    new = [scalar for scalar in scalars if (scalar.name, scalar.step) not in known and math.isfinite(scalar.value)]
    return [Metric(scalar.name, scalar.value, at, scalar.step) for scalar in new]


def _parts(things: Sequence[Thing], size: int) -> Iterator[Sequence[Thing]]:
    for start in range(0, len(things), size):
        yield things[start : start + size]


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _place(uri: str, run: Run) -> str:
    """Its page, where the store has pages."""
    if uri.startswith(("http://", "https://")):
        return f"{uri.rstrip('/')}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    return f"run {run.info.run_id} in {uri}"
