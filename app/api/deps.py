"""What routes ask for: a session, the caller, the things the application holds.

What never waits is `async`: each plain function costs a request one more way to a thread and back. What nearly every
request asks for takes the application's things from its state, not from a dependency: resolving one costs more.
"""

from collections.abc import AsyncIterator
from typing import Annotated, cast

from celery import Celery
from fastapi import Depends, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app import log_context
from app.api.nudge import Nudger
from app.api.ratelimit import RateLimiter
from app.api.telemetry import Telemetry
from app.db.engine import Store
from app.db.ids import find_id
from app.domain.access import OPERATOR_TENANT, Caller, Scope
from app.domain.errors import Unauthorized
from app.domain.faults import fault_point
from app.inference.predictor import Predictor
from app.request_id import current_request_id
from app.services import audit, keys
from app.services.keyring import KeyRing
from app.settings import Settings
from app.storage.blobs import Blobs
from app.storage.partial import PartialUploads

REQUESTS_AT_WORK = 8
"""On the database at once. Python runs one thread at a time, so more would only get in each other's way; fewer, and
some that wait for a lock would hold up the rest. Who waits for a turn holds neither a thread nor a connection; else,
under load, those with a connection would wait for a thread and those with a thread for a connection."""
LOOKING = frozenset({"GET", "HEAD", "OPTIONS"})
LOCAL = "local"
"""Who asks where no key is asked for."""

_bearer = HTTPBearer(
    auto_error=False, description="`Authorization: Bearer tdmr_…`; asked for everywhere but on loopback."
)


async def get_settings(request: Request) -> Settings:
    return cast("Settings", request.app.state.settings)


async def get_store(request: Request) -> Store:
    return cast("Store", request.app.state.store)


async def get_blobs(request: Request) -> Blobs:
    return cast("Blobs", request.app.state.blobs)


async def get_celery(request: Request) -> Celery:
    return cast("Celery", request.app.state.celery)


async def get_nudger(request: Request) -> Nudger:
    return cast("Nudger", request.app.state.nudger)


async def get_partials(request: Request) -> PartialUploads:
    return cast("PartialUploads", request.app.state.partials)


async def get_predictor(request: Request) -> Predictor:
    return cast("Predictor", request.app.state.predictor)


async def get_telemetry(request: Request) -> Telemetry:
    return cast("Telemetry", request.app.state.telemetry)


async def identify(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Caller:
    """Who asks; the request counts towards their rate limit.

    Raises:
        Unauthorized: if a key is asked for or sent, and this is none.
        TooManyRequests: over the rate limit.
    """
    state = request.app.state
    if credentials is None and state.settings.api_key is None:
        caller: Caller | None = Caller(OPERATOR_TENANT, LOCAL)
    else:
        keyring = cast("KeyRing", state.keyring)
        caller = await run_in_threadpool(keyring.find, credentials.credentials if credentials else "")
    limiter = cast("RateLimiter", state.limiter)
    if limiter.counts:
        who = caller.actor if caller and caller.actor != LOCAL else f"address {address_of(request)}"
        await run_in_threadpool(limiter.spend, request, who)
    if caller is None:
        raise Unauthorized(
            "The request carries no valid API key.", hint="Send it as `Authorization: Bearer …`.", param="Authorization"
        )
    log_context.add(tenant=caller.tenant, actor=caller.actor)
    return caller


async def authorise(request: Request, caller: Annotated[Caller, Depends(identify)]) -> Caller:
    """
    Raises:
        Forbidden: if the key lacks the scope, `read` for looking and `write` for the rest.
    """
    keys.require_scope(caller, Scope.READ if request.method in LOOKING else Scope.WRITE)
    return caller


async def look(caller: Annotated[Caller, Depends(identify)]) -> Caller:
    """For what looks by POST.

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


def address_of(request: Request) -> str:
    """Where a request comes from; behind a proxy that FORWARDED_ALLOW_IPS names, what the proxy says."""
    return request.client.host if request.client else "unknown"


async def open_read_session(request: Request) -> AsyncIterator[Session]:
    state = request.app.state
    async with state.turns:
        with state.store.read() as session:  # connects at the first statement, which the route sends from its thread
            yield session


async def open_write_session(
    request: Request, response: Response, caller: Annotated[Caller, Depends(identify)]
) -> AsyncIterator[Session]:
    """What is done in it is noted in the audit trail, in the same transaction."""
    state = request.app.state
    async with state.turns:
        writing = cast("Store", state.store).write()
        session = writing.__enter__()  # as above

        def end(error: Exception | None) -> None:
            if error is None:
                changed = response.headers.get("Location") or request.url.path
                audit.record(
                    session,
                    caller,
                    request.scope["route"].operation_id,
                    find_id(changed),
                    request_id=current_request_id(),
                    address=address_of(request),
                )
            writing.__exit__(type(error) if error else None, error, None)

        try:
            yield session
        except Exception as error:
            await run_in_threadpool(end, error)
            raise
        await run_in_threadpool(end, None)
    fault_point("committed")


AppSettings = Annotated[Settings, Depends(get_settings)]
AppStore = Annotated[Store, Depends(get_store)]
AppBlobs = Annotated[Blobs, Depends(get_blobs)]
AppCelery = Annotated[Celery, Depends(get_celery)]
AppNudger = Annotated[Nudger, Depends(get_nudger)]
AppPartials = Annotated[PartialUploads, Depends(get_partials)]
AppPredictor = Annotated[Predictor, Depends(get_predictor)]
AppTelemetry = Annotated[Telemetry, Depends(get_telemetry)]
CurrentCaller = Annotated[Caller, Depends(authorise)]
LookingCaller = Annotated[Caller, Depends(look)]
AdminCaller = Annotated[Caller, Depends(administer)]
# scope="function": the commit happens before the answer leaves, so that what was acknowledged is there
ReadSession = Annotated[Session, Depends(open_read_session, scope="function")]
WriteSession = Annotated[Session, Depends(open_write_session, scope="function")]
