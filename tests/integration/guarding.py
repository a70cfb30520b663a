"""The service as it runs beyond loopback: nobody comes in without a key."""

from fastapi.testclient import TestClient
from pydantic import SecretStr

from app.domain.access import Caller, Scope
from app.services import keys
from tests.integration.conftest import Service
from tests.support import client_of

OPERATOR_KEY = "tdmr_operator"
OPERATOR = {"Authorization": f"Bearer {OPERATOR_KEY}"}


def guard(service: Service, **changes: object) -> TestClient:
    """A second application on the same store, which asks for keys; the client sends none by itself."""
    changes = {"api_key": SecretStr(OPERATOR_KEY), "rate_limit": 0} | changes
    return client_of(service.settings.model_copy(update=changes))


def key_of(service: Service, tenant: str, *scopes: Scope) -> dict[str, str]:
    """The header of a new key; without `scopes`, of one that may do everything."""
    with service.store.write() as session:
        _, secret = keys.create(session, Caller("setup", "cli"), tenant, name="test", scopes=scopes or tuple(Scope))
    return {"Authorization": f"Bearer {secret}"}
