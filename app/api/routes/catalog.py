"""The catalogue of teachers and students."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.deps import CurrentCaller, ReadSession
from app.api.openapi import problems
from app.api.params import AfterName, Count, Limit, Search
from app.api.schemas.common import ListPage
from app.domain.catalog import StudentCard, TeacherCard
from app.domain.errors import CatalogEmpty
from app.services import catalog_lists
from app.services.catalog_lists import StudentFilter, StudentSort, TeacherFilter, TeacherSort

router = APIRouter(prefix="/v1", tags=["catalogue"])

Family = Annotated[str | None, Query(max_length=128, description="Only this family, for example `mobilenetv3`.")]
MinParams = Annotated[Count | None, Query(description="With at least so many parameters, for example `800k`.")]
MaxParams = Annotated[Count | None, Query(description="With at most so many parameters, for example `5M`.")]
Licence = Annotated[
    str, Query(max_length=128, description="Only weights whose licence contains this text, for example `apache`.")
]
InputSize = Annotated[
    int | None, Query(ge=1, le=2**20, description="Pretrained on images of at most this side, in pixels.")
]
ImageSize = Annotated[
    int | None, Query(ge=16, le=1024, description="Only students that take images of this side, in pixels.")
]
SORTED = (
    "`-` in front means descending. What is unknown comes last. By name, those whose name contains `q` come before "
    "those whose family does."
)


@router.get("/teachers", operation_id="list_teachers", summary="List teachers", responses=problems(CatalogEmpty))
def list_teachers(
    session: ReadSession,
    _: CurrentCaller,
    q: Search = "",
    family: Family = None,
    min_params: MinParams = None,
    max_params: MaxParams = None,
    licence: Licence = "",
    max_input_size: InputSize = None,
    sort: Annotated[TeacherSort, Query(description=SORTED)] = "name",
    after: AfterName = None,
    limit: Limit = 20,
) -> ListPage[TeacherCard]:
    """Pretrained networks to distil from, those that fit all filters. Answers 503 until the first training worker has
    registered."""
    wanted = TeacherFilter(
        q=q,
        family=family,
        min_params=min_params,
        max_params=max_params,
        licence=licence,
        max_input_size=max_input_size,
    )
    page = catalog_lists.teachers(session, wanted, sort=sort, after=after, limit=limit)
    return ListPage[TeacherCard].from_items(page.items, [card.name for card in page.items], has_more=page.has_more)


@router.get("/students", operation_id="list_students", summary="List students", responses=problems(CatalogEmpty))
def list_students(
    session: ReadSession,
    _: CurrentCaller,
    q: Search = "",
    family: Family = None,
    min_params: MinParams = None,
    max_params: MaxParams = None,
    image_size: ImageSize = None,
    sort: Annotated[StudentSort, Query(description=SORTED)] = "name",
    after: AfterName = None,
    limit: Limit = 20,
) -> ListPage[StudentCard]:
    """Architectures to train, those that fit all filters. Answers 503 until the first training worker has
    registered."""
    wanted = StudentFilter(q=q, family=family, min_params=min_params, max_params=max_params, image_size=image_size)
    page = catalog_lists.students(session, wanted, sort=sort, after=after, limit=limit)
    return ListPage[StudentCard].from_items(page.items, [card.name for card in page.items], has_more=page.has_more)
