"""Dependencies of pages: who looks, and what a form has sent."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.responses import RedirectResponse
from starlette.datastructures import FormData

from app.api.deps import SESSION_COOKIE, CurrentCaller, identify, resources_of
from app.domain.access import Caller
from app.pages.rendering import Viewer
from app.services import sessions


def viewer_of(request: Request, caller: Caller) -> Viewer:
    secret = request.cookies.get(SESSION_COOKIE, "")
    needs_session = resources_of(request).settings.api_key is not None
    return Viewer(caller, csrf=sessions.csrf_token(secret) if needs_session and secret else "")


async def reading_viewer(request: Request, caller: CurrentCaller) -> Viewer:
    return viewer_of(request, caller)


async def any_viewer(request: Request, caller: Annotated[Caller, Depends(identify)]) -> Viewer:
    """Whatever the key's scopes are."""
    return viewer_of(request, caller)


async def posted(request: Request) -> FormData:
    """The fields of a form. Each of these dependencies comes behind one that has let the caller in."""
    return await request.form(max_files=0, max_fields=2000)


CurrentViewer = Annotated[Viewer, Depends(reading_viewer)]
AnyViewer = Annotated[Viewer, Depends(any_viewer)]
Posted = Annotated[FormData, Depends(posted)]


def text_of(form: FormData, name: str) -> str:
    """A field's text without blanks around it; "" where it was not sent."""
    value = form.get(name, "")
    return value.strip() if isinstance(value, str) else ""


def seen(path: str) -> RedirectResponse:
    """Where a form leads to. To load that page again sends nothing again."""
    return RedirectResponse(path, 303)
