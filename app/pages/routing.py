"""Which requests get a page: a browser's. Everything else on the same paths is the API's."""

from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.datastructures import Headers
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.deps import READING
from app.api.short_paths import prefers_html
from app.domain.errors import InvalidRequest, NotFound, StoreUnavailable, TdmrError, Unauthorized
from app.pages.rendering import error_page

SIGN_IN = "/sign-in"
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def asks_for_page(scope: Scope) -> bool:
    """Whether it is a browser's request, rather than a program's."""
    return prefers_html(Headers(scope=scope).get("accept", ""))


class PageRoute(APIRoute):
    """Stands aside where no page is asked for, and tells every problem as a page."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] == "http" and scope["method"] in READING and not asks_for_page(scope):
            return Match.NONE, {}
        return super().matches(scope)

    def get_route_handler(self) -> Handler:
        answer = super().get_route_handler()

        async def answer_with_page(request: Request) -> Response:
            try:
                return await answer(request)
            except Unauthorized:
                here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
                after = f"?{urlencode({'next': here})}" if request.method in READING and here != "/" else ""
                return RedirectResponse(SIGN_IN + after, 303, headers={"Vary": "Accept"})
            except TdmrError as problem:
                return error_page(request, problem)
            except RequestValidationError as error:
                return error_page(request, InvalidRequest(_first_message(error)))
            except (OperationalError, InterfaceError, PoolTimeout):
                return error_page(request, StoreUnavailable(StoreUnavailable.example, hint="Try again in a moment."))

        return answer_with_page


class PlainRoute(PageRoute):
    """Of what pages link to and what is no page: pictures and files. Whoever asks gets it."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return APIRoute.matches(self, scope)


def page_router(route_class: type[APIRoute] = PageRoute) -> APIRouter:
    return APIRouter(route_class=route_class, include_in_schema=False)


def with_lost_page(otherwise: ASGIApp) -> ASGIApp:
    """What the router does where no route matches: a browser is told so on a page."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] in READING and asks_for_page(scope):
            await error_page(Request(scope), _LOST)(scope, receive, send)
        else:
            await otherwise(scope, receive, send)

    return answer


_LOST = NotFound("There is no page at this address.", hint="Start again from the overview.")


def _first_message(error: RequestValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:])
    return f"{where}: {first['msg'].removeprefix('Value error, ')}" if where else str(first["msg"])
