"""Where else a job is logged when it ends: asked for with the job, owed once it has ended, and shown with it.

Workers log it (`worker/tracking/`), through `tracking_claims.py`.
"""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec

from sqlalchemy.orm import Session

from app.db.models import Job, Tracking
from app.db.queries import trackings as queries
from app.domain.errors import TrackingNotConfigured
from app.domain.tracking import Track, TrackingServer


def require_server(server: TrackingServer | None, track: Track | None) -> None:
    """
    Raises:
        TrackingNotConfigured: a job is to be logged, and this service does not know where.
    """
    if track is not None and server is None:
        raise TrackingNotConfigured(
            "This service has no MLflow server, so it cannot log a job there.",
            hint="Leave out `track`; or the operator sets TDMR_MLFLOW_URI to the server's address, for the API and the "
            "import workers. `tdmr jobs export JOB --to mlflow` logs a job from your own machine.",
            param="track.mlflow",
        )


def lacking_package(server: TrackingServer | None) -> str | None:
    """What to do where an import worker of this environment could not log a job."""
    if server is None or find_spec("mlflow") is not None:
        return None
    return "TDMR_MLFLOW_URI is set, but MLflow is not installed here. Install it with pip install 'tdmr[mlflow]'."


def owe(session: Session, job: Job) -> None:
    """The job has ended. One that never started has nothing to tell."""
    if job.track is not None and job.started_at is not None:
        session.add_all(Tracking(job_id=job.id, target=target) for target in job.track)
        session.flush()


def of_jobs(session: Session, jobs: Sequence[Job]) -> Mapping[str, Mapping[str, Tracking]]:
    """What became of it: by job, then by target. A job that has not ended has none."""
    asked = [job.id for job in jobs if job.track is not None]
    found: dict[str, dict[str, Tracking]] = {}
    for tracking in queries.of_jobs(session, asked) if asked else ():
        found.setdefault(tracking.job_id, {})[tracking.target] = tracking
    return found
