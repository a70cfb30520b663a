"""Dependencies of routes: the session, the caller, the application's resources.

A dependency that never blocks is `async`: a plain function costs each request one more trip to a thread and back. The
ones that nearly every request has read the resources directly, since resolving a dependency costs more.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Annotated, Any, TypeVar, cast

from celery import Celery
from fastapi import Depends, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app import log_context
from app.api.notify import JobNotifier
from app.api.presence import require_client
from app.api.query import require_known_query
from app.api.report_pages import ReportPages
from app.api.resources import AppResources
from app.api.telemetry import Telemetry
from app.db.engine import Store
from app.domain.access import OPERATOR_TENANT, Caller, Scope
from app.domain.errors import CsrfTokenInvalid, Unauthorized
from app.domain.failpoints import failpoint
from app.inference.predictor import Predictor
from app.services import keys, sessions, tickets
from app.services.answer_marks import AnswerMarks
from app.settings import Settings
from app.storage.blobs import Blobs
from app.storage.partial import PartialUploads

READING = frozenset({"GET", "HEAD", "OPTIONS"})
Found = TypeVar("Found")
SESSION_COOKIE = "tdmr_session"
CSRF_HEADER, CSRF_FIELD = "X-CSRF-Token", "csrf"
FORM = "application/x-www-form-urlencoded"
LOCAL = "local"
"""The actor where no key is required."""

_bearer = HTTPBearer(
    auto_error=False,
    description="`Authorization: Bearer tdmr_…`; required unless the service listens on loopback without a key.",
)


def resources_of(request: Request) -> AppResources:
    """What the application holds."""
    return cast("AppResources", request.app.state.resources)


def _held(pick: Callable[[AppResources], object]) -> Any:
    async def held(request: Request) -> object:
        return pick(resources_of(request))

    return Depends(held)


async def identify(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Caller:
    """The caller, by a key or by the session of a browser; the request counts towards its rate limit.

    Raises:
        Unauthorized: if a key is required or sent, and it is not valid.
        CsrfTokenInvalid: if a session would change something and no page of its own has sent the request.
        TooManyRequests: over the rate limit.
    """
    held = resources_of(request)
    if credentials is None and held.settings.api_key is None:
        caller: Caller | None = Caller(OPERATOR_TENANT, LOCAL)
    elif credentials is None and (secret := request.cookies.get(SESSION_COOKIE)):
        caller = await run_in_threadpool(held.sessions.find, secret)
        if caller is not None and request.method not in READING:
            await _require_csrf_token(request, secret)
    else:
        key = credentials.credentials if credentials else ""
        caller = await run_in_threadpool(held.authenticator.find, key)
    return await _let_in(
        request,
        caller,
        Unauthorized(
            "The request carries no valid API key.", hint="Send `Authorization: Bearer tdmr_…`.", param="Authorization"
        ),
    )


async def _let_in(request: Request, caller: Caller | None, refusal: Unauthorized) -> Caller:
    held, address = resources_of(request), request.client.host if request.client else "unknown"
    if held.limiter.counts:
        who = caller.actor if caller and caller.actor != LOCAL else f"address {address}"
        await run_in_threadpool(held.limiter.spend, request, who)
    if caller is None:
        raise refusal
    log_context.add(tenant=caller.tenant, actor=caller.actor)
    await require_known_query(request)  # before the route waits, or takes a body
    return replace(caller, address=address)


async def _require_csrf_token(request: Request, secret: str) -> None:
    token = request.headers.get(CSRF_HEADER, "")
    if not token and request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM:
        sent = (await request.form()).get(CSRF_FIELD)  # of a page; no route of the API takes such a body
        token = sent if isinstance(sent, str) else ""
    if not sessions.is_csrf_token(secret, token):
        raise CsrfTokenInvalid(CsrfTokenInvalid.example, hint="Reload the page and try again.", param=CSRF_HEADER)


def revalidation(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Callable[[], None]:
    """For a route that takes long, to be called before it commits.

    The function raises Unauthorized if the key has been revoked or has expired since the request began.
    """

    def revalidate() -> None:
        held, secret = resources_of(request), request.cookies.get(SESSION_COOKIE)
        if credentials is not None:
            is_valid = held.authenticator.find(credentials.credentials) is not None
        else:
            is_valid = held.settings.api_key is None or (secret is not None and held.sessions.find(secret) is not None)
        if not is_valid:
            raise Unauthorized("The API key is no longer valid.", hint="Use another key.", param="Authorization")

    return revalidate


async def authorise(request: Request, caller: Annotated[Caller, Depends(identify)]) -> Caller:
    """
    Raises:
        Forbidden: if the key lacks the scope, `read` for reading and `write` for the rest.
    """
    keys.require_scope(caller, Scope.READ if request.method in READING else Scope.WRITE)
    return caller


async def authorise_stream(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    ticket: Annotated[
        str | None, Query(description="Instead of a key, to follow this job: `POST …/events/ticket` gives one.")
    ] = None,
) -> Caller:
    """As `authorise`, or by a ticket for the job in the path.

    Raises:
        Unauthorized, Forbidden, TooManyRequests: as there.
    """
    if ticket is None or credentials is not None:
        return await authorise(request, await identify(request, credentials))
    held, job_id = resources_of(request), request.path_params["job_id"]

    def admit() -> Caller | None:
        with held.store.read() as session:
            return tickets.admit(session, held.settings.api_key, ticket, job_id)

    refusal = Unauthorized(
        "The ticket is not valid for this job, or no longer.",
        hint="POST /v1/jobs/{id}/events/ticket with your key gives another.",
        param="ticket",
    )
    return await _let_in(request, await run_in_threadpool(admit), refusal)


async def read_only(caller: Annotated[Caller, Depends(identify)]) -> Caller:
    """For a POST that changes nothing.

    Raises:
        Forbidden: if the key lacks the scope `read`.
    """
    keys.require_scope(caller, Scope.READ)
    return caller


async def administer(caller: Annotated[Caller, Depends(identify)]) -> Caller:
    """
    Raises:
        Forbidden: if the key lacks the scope `admin`.
    """
    keys.require_scope(caller, Scope.ADMIN)
    return caller


async def open_read_session(request: Request) -> AsyncIterator[Session]:
    async with _turn_to_read(request) as held:
        with held.store.read() as session:  # connects at the first statement, which the route sends from its thread
            yield session


async def read_in_turn(request: Request, read: Callable[[Session], Found]) -> Found:
    """What `read` finds, in a thread. For a route that does something long with it: the session is closed then."""

    def with_session(store: Store) -> Found:
        with store.read() as session:
            return read(session)

    async with _turn_to_read(request) as held:
        return await run_in_threadpool(with_session, held.store)


@asynccontextmanager
async def _turn_to_read(request: Request) -> AsyncIterator[AppResources]:
    """Whoever has left meanwhile gives the turn to the next: clients that ask, leave and ask again would fill the queue
    with requests that nobody waits for."""
    held = resources_of(request)
    async with held.turns:
        if request.method in {"GET", "HEAD"}:  # looking for the client of another would take a piece of its body
            await require_client(request)
        yield held


async def open_write_session(request: Request) -> AsyncIterator[Session]:
    held = resources_of(request)
    async with held.turns:
        writing = held.store.write()
        session = writing.__enter__()  # as above
        try:
            yield session
        except Exception as error:
            await run_in_threadpool(writing.__exit__, type(error), error, None)
            raise
        await run_in_threadpool(writing.__exit__, None, None, None)
    failpoint("committed")


AppSettings = Annotated[Settings, _held(lambda held: held.settings)]
AppStore = Annotated[Store, _held(lambda held: held.store)]
AppBlobs = Annotated[Blobs, _held(lambda held: held.blobs)]
AppCelery = Annotated[Celery, _held(lambda held: held.celery)]
AppNotifier = Annotated[JobNotifier, _held(lambda held: held.notifier)]
AppPartials = Annotated[PartialUploads, _held(lambda held: held.partials)]
AppPredictor = Annotated[Predictor, _held(lambda held: held.predictor)]
AppAnswerMarks = Annotated[AnswerMarks, _held(lambda held: held.answer_marks)]
AppReportPages = Annotated[ReportPages, _held(lambda held: held.report_pages)]
AppTelemetry = Annotated[Telemetry, _held(lambda held: held.telemetry)]
Revalidate = Annotated[Callable[[], None], Depends(revalidation)]
CurrentCaller = Annotated[Caller, Depends(authorise)]
StreamingCaller = Annotated[Caller, Depends(authorise_stream)]
ReadingCaller = Annotated[Caller, Depends(read_only)]
AdminCaller = Annotated[Caller, Depends(administer)]
# scope="function": the commit happens before the answer leaves, so that what was acknowledged is there
ReadSession = Annotated[Session, Depends(open_read_session, scope="function")]
WriteSession = Annotated[Session, Depends(open_write_session, scope="function")]
