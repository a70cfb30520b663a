"""`python -m worker.tracking FOLDER`: log the job that `FOLDER/job.json` describes on the server of TDMR_MLFLOW_URI.

It reads the files from the storage, and nothing from the database. The last line that it prints is a
`TrackingOutcome`. The run
is written by the client's exporter, so a job that its user exports later, or has exported before, is the same run.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import requests
from mlflow.exceptions import MlflowException, RestException

from app.domain.errors import FileLost, StoreUnavailable
from app.domain.tracking import JOB_FILE, TrackedJob, TrackingOutcome
from app.logs import configure_logging
from app.settings import Settings
from app.storage.blobs import Blobs
from app.storage.published import HINT, fetch
from tdmr import models
from tdmr.errors import TdmrError
from tdmr.exports import MLflow, Record
from tdmr.exports.record import results, scalars

MOST_CHARACTERS = 300
"""Of what a server says."""
_REFUSED = frozenset({400, 404, 409, 413, 422})
"""HTTP statuses whose explanation is about the run, and may be shown to its user."""
_UNAUTHORIZED = frozenset({401, 403})
_ANSWERED = "API request to endpoint"
"""How MLflow begins to tell of an answer that is not its server's own; other errors of its own have a status too."""

log = logging.getLogger("worker.tracking")


def main(folder: Path) -> int:
    settings = Settings()
    configure_logging(settings.log_level)
    job = TrackedJob.model_validate_json((folder / JOB_FILE).read_bytes())
    server = settings.tracking_server
    assert server is not None, "the tracker has one"
    outcome = logged(job, MLflow(server.uri, job.experiment), Blobs(settings.storage), folder / "files")
    sys.stdout.write(outcome.model_dump_json() + "\n")
    return 0 if outcome.error is None else 1


def logged(job: TrackedJob, target: MLflow, blobs: Blobs, folder: Path) -> TrackingOutcome:
    """Log it, once more or for the first time.

    Args:
        folder: for its files.
    """
    try:
        for file in job.files:
            if target.wants(file.name):
                what = f"the job's file {file.name}"
                fetch(blobs, file.key, folder / file.name, what=what, hint=HINT, sha256=file.sha256)
    except FileLost as lost:
        return TrackingOutcome(url=None, error=lost.detail)
    except (StoreUnavailable, OSError):
        log.exception("a file cannot be fetched")
        return TrackingOutcome(url=None, error="The storage does not deliver the job's files.")
    try:
        place = target.write(record_of(job, folder if folder.is_dir() else None))
    except TdmrError as error:
        said = explained(error)
        if said is None:
            log.exception("the run cannot be logged")
        return TrackingOutcome(url=None, error=said or "The run could not be logged; the worker's log has the cause.")
    return TrackingOutcome(url=place, error=None)


def record_of(job: TrackedJob, folder: Path | None) -> Record:
    """As the client makes it of what the API tells."""
    points = [models.MetricPoint(stage=one.stage, step=one.step, values=one.values) for one in job.points]
    evaluations: dict[str | None, models.Evaluation] = {}
    for student, evaluation in job.evaluations.items():
        with suppress(ValueError):  # another version wrote it
            evaluations[student or None] = models.Evaluation.model_validate(evaluation)
    return Record(
        job_id=job.id,
        state=job.state,
        url=job.url,
        spec=job.spec,
        metadata=job.metadata,
        dataset_id=job.dataset_id,
        dataset_digest=job.dataset_digest,
        curves=scalars(points),
        results=results(job.metrics, points, evaluations),
        started_at=job.started_at,
        finished_at=job.finished_at,
        folder=folder,
    )


def explained(error: BaseException) -> str | None:
    """What the job's user is told: never an address, and of what a server says only why it refuses the run. None where
    that is not known."""
    for cause in _causes(error):
        if isinstance(cause, requests.ConnectionError | requests.Timeout):
            return "The tracking server does not answer."
        status = _status(cause)
        if status in _UNAUTHORIZED:
            return "The tracking server does not let the service in: its user name or password is wrong or missing."
        if status in _REFUSED and isinstance(cause, RestException):
            said = next(iter(str(cause.message).splitlines()), "")[:MOST_CHARACTERS]
            return f"The tracking server refused the run: {said}"
        if status is not None:
            return f"The tracking server answered with an error, {status}."
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, the first cause first: MLflow wraps what `requests` raises."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None:
        chain.append(link)
        link = link.__cause__ or link.__context__
    return reversed(chain)


def _status(error: BaseException) -> int | None:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return error.response.status_code
    if isinstance(error, RestException) or (isinstance(error, MlflowException) and error.message.startswith(_ANSWERED)):
        return error.get_http_status_code()
    return None


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
