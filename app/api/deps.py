"""What routes ask for: a session, the caller, the things the application holds."""

import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, cast

from celery import Celery
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.orm import Session

from app.db.engine import Store
from app.db.models import DEFAULT_TENANT
from app.domain.errors import Unauthorized
from app.settings import Settings
from app.storage.blobs import Blobs

_bearer = HTTPBearer(auto_error=False, description="`Authorization: Bearer …`; asked for where `TDMR_API_KEY` is set.")


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose request it is; objects of other tenants do not exist for it."""

    tenant: str


def get_settings(request: Request) -> Settings:
    return cast("Settings", request.app.state.settings)


def get_store(request: Request) -> Store:
    return cast("Store", request.app.state.store)


def get_blobs(request: Request) -> Blobs:
    return cast("Blobs", request.app.state.blobs)


def get_celery(request: Request) -> Celery:
    return cast("Celery", request.app.state.celery)


def authenticate(
    settings: Annotated[Settings, Depends(get_settings)],
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Caller:
    """
    Raises:
        Unauthorized: if a key is asked for and this is not it.
    """
    if settings.api_key is None:
        return Caller(DEFAULT_TENANT)
    given = credentials.credentials if credentials else ""
    # in constant time: how long the answer takes must not tell how much of the key was right
    if not hmac.compare_digest(given.encode(), settings.api_key.get_secret_value().encode()):
        raise Unauthorized(
            "The request carries no valid API key.", hint="Send it as `Authorization: Bearer …`.", param="Authorization"
        )
    return Caller(DEFAULT_TENANT)


def open_read_session(store: Annotated[Store, Depends(get_store)]) -> Iterator[Session]:
    with store.read() as session:
        yield session


def open_write_session(store: Annotated[Store, Depends(get_store)]) -> Iterator[Session]:
    with store.write() as session:
        yield session


AppSettings = Annotated[Settings, Depends(get_settings)]
AppStore = Annotated[Store, Depends(get_store)]
AppBlobs = Annotated[Blobs, Depends(get_blobs)]
AppCelery = Annotated[Celery, Depends(get_celery)]
CurrentCaller = Annotated[Caller, Depends(authenticate)]
# scope="function": the commit happens before the answer leaves, so that what was acknowledged is there
ReadSession = Annotated[Session, Depends(open_read_session, scope="function")]
WriteSession = Annotated[Session, Depends(open_write_session, scope="function")]
