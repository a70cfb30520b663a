"""What the workers can build."""

from fastapi import APIRouter

from app.api.deps import CurrentCaller, ReadSession
from app.api.params import AfterName, Limit, Search
from app.api.schemas import ListPage
from app.domain.catalog import StudentCard, TeacherCard
from app.services import catalog

router = APIRouter(prefix="/v1", tags=["catalogue"])


@router.get("/teachers", operation_id="list_teachers", summary="Frozen networks to distil from")
def list_teachers(
    session: ReadSession, _: CurrentCaller, q: Search = "", after: AfterName = None, limit: Limit = 20
) -> ListPage[TeacherCard]:
    """By name. Answers 503 until the first training worker has announced itself."""
    page = catalog.teachers(session, q=q, after=after, limit=limit)
    return ListPage[TeacherCard].of(page.items, [card.name for card in page.items], has_more=page.has_more)


@router.get("/students", operation_id="list_students", summary="Architectures to train")
def list_students(
    session: ReadSession, _: CurrentCaller, q: Search = "", after: AfterName = None, limit: Limit = 20
) -> ListPage[StudentCard]:
    """By name. Answers 503 until the first training worker has announced itself."""
    page = catalog.students(session, q=q, after=after, limit=limit)
    return ListPage[StudentCard].of(page.items, [card.name for card in page.items], has_more=page.has_more)
