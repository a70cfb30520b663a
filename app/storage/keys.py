"""Where each kind of blob lives. A worker's output carries its attempt epoch, so two attempts never share a key."""

from app.domain.address_tables import TABLE

ROOTS = ("uploads", "datasets", "jobs")
"""The folders of all blobs that rows name; each holds one folder or file an object."""


def upload_key(dataset_id: str, *, is_table: bool = False) -> str:
    """The archive as it was sent."""
    return f"uploads/{dataset_id}{TABLE if is_table else ''}"


def fetched_key(dataset_id: str, epoch: int, *, is_table: bool = False) -> str:
    """The archive as attempt `epoch` of its import has fetched it, or made it of what it has fetched."""
    return f"{upload_key(dataset_id)}-e{epoch}{TABLE if is_table else ''}"


def dataset_prefix(dataset_id: str) -> str:
    """Everything the imports of one data set wrote, of whatever attempt."""
    return f"datasets/{dataset_id}"


def prepared_key(dataset_id: str, epoch: int) -> str:
    """The prepared data set, `prepared.zip`, that attempt `epoch` wrote."""
    return f"{dataset_prefix(dataset_id)}/e{epoch}/prepared.zip"


def import_keys(dataset_id: str, epoch: int) -> set[str]:
    """Whatever the imports of one data set may have written, up to attempt `epoch`: fetched archives and prepared data
    sets; and the table that an archive of its images has replaced. A worker that was killed between a blob and its row,
    or right after, has left one that no row names."""
    attempts = range(1, epoch + 1)
    fetched = {fetched_key(dataset_id, attempt, is_table=table) for attempt in attempts for table in (False, True)}
    prepared = {prepared_key(dataset_id, attempt) for attempt in attempts}
    return fetched | prepared | {upload_key(dataset_id, is_table=True)}


def preview_key(prepared: str) -> str:
    """The thumbnails of the prepared data set under the key `prepared`; they come and go with it."""
    return prepared.removesuffix("prepared.zip") + "preview.json"


def job_prefix(job_id: str) -> str:
    """Everything that all attempts of a job wrote."""
    return f"jobs/{job_id}"


def attempt_prefix(job_id: str, epoch: int) -> str:
    """Everything that attempt `epoch` of a job wrote."""
    return f"{job_prefix(job_id)}/e{epoch}"


def checkpoint_prefix(job_id: str) -> str:
    """The checkpoints that were taken off a job's workers."""
    return f"{job_prefix(job_id)}/checkpoints"


def checkpoint_key(job_id: str, epoch: int) -> str:
    """The newest checkpoint of attempt `epoch`: a tar of its output folder."""
    return f"{checkpoint_prefix(job_id)}/e{epoch}.tar"


def previews_prefix(job_id: str) -> str:
    """The students of the moment, while a job trains; and after it, where its user has kept them."""
    return f"{job_prefix(job_id)}/previews"


def student_preview_key(job_id: str, epoch: int, student: str, step: int, name: str) -> str:
    """One of them: no two have one key, so whoever reads one is not given half of another."""
    return f"{previews_prefix(job_id)}/e{epoch}/{student}/{step}/{name}"


def artifact_key(job_id: str, epoch: int, name: str) -> str:
    """One published file of attempt `epoch`."""
    return f"{attempt_prefix(job_id, epoch)}/{name}"
