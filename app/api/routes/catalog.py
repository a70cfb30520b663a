"""The catalogue of teachers and students."""

from fastapi import APIRouter

from app.api.deps import CurrentCaller, ReadSession
from app.api.openapi import problems
from app.api.params import AfterName, Limit, Search
from app.api.schemas import ListPage
from app.domain.catalog import StudentCard, TeacherCard
from app.domain.errors import CatalogEmpty
from app.services import catalog

router = APIRouter(prefix="/v1", tags=["catalogue"])


@router.get("/teachers", operation_id="list_teachers", summary="List teachers", responses=problems(CatalogEmpty))
def list_teachers(
    session: ReadSession, _: CurrentCaller, q: Search = "", after: AfterName = None, limit: Limit = 20
) -> ListPage[TeacherCard]:
    """Pretrained networks to distil from, by name. Answers 503 until the first training worker has registered."""
    page = catalog.teachers(session, q=q, after=after, limit=limit)
    return ListPage[TeacherCard].from_items(page.items, [card.name for card in page.items], has_more=page.has_more)


@router.get("/students", operation_id="list_students", summary="List students", responses=problems(CatalogEmpty))
def list_students(
    session: ReadSession, _: CurrentCaller, q: Search = "", after: AfterName = None, limit: Limit = 20
) -> ListPage[StudentCard]:
    """Architectures to train, by name. Answers 503 until the first training worker has registered."""
    page = catalog.students(session, q=q, after=after, limit=limit)
    return ListPage[StudentCard].from_items(page.items, [card.name for card in page.items], has_more=page.has_more)
