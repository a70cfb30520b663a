"""Have a preview made when somebody asks for it and it is missing or outdated."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from app.db.engine import Store
from app.domain.errors import PreviewNotReady
from app.services import previews


@dataclass
class Wanted:
    """What was found."""

    is_outdated: bool = False


@contextmanager
def wanting_preview(store: Store, tenant: str, job_id: str, student: str | None) -> Iterator[Wanted]:
    """Around the search for an ONNX file. Where there is none yet, the next request finds it; where there is a newer
    student, the one after this."""
    wanted = Wanted()
    try:
        yield wanted
    except PreviewNotReady:
        _want(store, tenant, job_id, student)
        raise
    if wanted.is_outdated:
        _want(store, tenant, job_id, student)


def _want(store: Store, tenant: str, job_id: str, student: str | None) -> None:
    with store.write() as session:
        previews.want(session, tenant, job_id, student)
