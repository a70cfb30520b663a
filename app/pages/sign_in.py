"""`/sign-in` and out: a key is typed in once, and a cookie stands in for it."""

from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from fastapi.security import HTTPAuthorizationCredentials
from starlette.concurrency import run_in_threadpool

from app.api.deps import LOCAL, SESSION_COOKIE, AppSettings, WriteSession, identify, resources_of
from app.domain.errors import TooManyRequests, Unauthorized
from app.pages.deps import AnyViewer, Posted, seen, text_of
from app.pages.rendering import NOBODY, page
from app.pages.routing import SIGN_IN, page_router
from app.services import sessions

router = page_router()


@router.get(SIGN_IN)
async def ask(request: Request, settings: AppSettings, next: str = "/") -> Response:
    if settings.api_key is None:
        return seen("/")
    return page(request, NOBODY, "sign_in.html", next=_own(next), refused="")


@router.post("/forms/sign-in")
async def sign_in(request: Request, form: Posted, settings: AppSettings) -> Response:
    """What was typed is a key like any other: wrong ones count towards the address's rate limit."""
    key, onward = text_of(form, "key"), _own(text_of(form, "next"))
    held = resources_of(request)
    try:
        caller = await identify(request, HTTPAuthorizationCredentials(scheme="Bearer", credentials=key))
    except (Unauthorized, TooManyRequests) as problem:
        said = "This key is not valid (any more)." if isinstance(problem, Unauthorized) else problem.detail
        return page(request, NOBODY, "sign_in.html", status=problem.status or 401, next=onward, refused=said)
    if caller.actor == LOCAL:
        return seen("/")

    def begin() -> str:
        with held.store.write() as session:
            return sessions.begin(session, caller, key, settings.session_hours)

    answer = seen(onward)
    answer.set_cookie(
        SESSION_COOKIE,
        await run_in_threadpool(begin),
        max_age=int(settings.session_hours * 3600),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


@router.post("/forms/sign-out")
def sign_out(request: Request, viewer: AnyViewer, session: WriteSession) -> Response:
    secret = request.cookies.get(SESSION_COOKIE)
    answer: RedirectResponse = seen(SIGN_IN)
    if secret:
        assert viewer.caller is not None, "identified"
        sessions.end(session, viewer.caller, secret)
        resources_of(request).sessions.forget(secret)
        answer.delete_cookie(SESSION_COOKIE, httponly=True, samesite="strict", secure=request.url.scheme == "https")
    return answer


def _own(path: str) -> str:
    """A path of this service, whatever a link may have put there."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() else "/"
