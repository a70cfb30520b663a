"""Short-lived permission to follow one job, for who cannot send a header: a browser's `EventSource`."""

from datetime import datetime, timedelta

from itsdangerous import BadSignature, URLSafeTimedSerializer
from pydantic import SecretStr
from sqlalchemy.orm import Session

from app.db.models import utcnow
from app.db.queries import access as queries
from app.domain.access import OPERATOR_TENANT, Caller, Scope
from app.services import jobs, keys

VALID_SECONDS = 60
"""To connect with. A stream that stands goes on; to connect again after that takes another ticket."""
_OPERATOR_ACTORS = frozenset({"bootstrap", "local"})


def issue(session: Session, bootstrap_key: SecretStr | None, caller: Caller, job_id: str) -> tuple[str, datetime]:
    """A ticket for this job and when it ends. It is signed with what is stored of the caller's key, so it ends with the
    key, and nothing is stored of it.

    Raises:
        NotFound: if there is no such job.
    """
    jobs.stamp(session, caller.tenant, job_id)
    signed = _signer(_secret(session, bootstrap_key, caller.tenant, caller.actor), job_id).dumps(caller.actor)
    return f"{caller.tenant}.{caller.actor}.{signed}", utcnow() + timedelta(seconds=VALID_SECONDS)


def admit(session: Session, bootstrap_key: SecretStr | None, ticket: str, job_id: str) -> Caller | None:
    """Who follows the job with this ticket, with the scope `read`; None if it is not valid for it (any more)."""
    tenant, _, rest = ticket.partition(".")
    actor, _, signed = rest.partition(".")
    caller = Caller(tenant, actor, frozenset({Scope.READ}))
    if actor in _OPERATOR_ACTORS and tenant != OPERATOR_TENANT:
        return None
    secret = _secret(session, bootstrap_key, tenant, actor)
    if secret is None or not keys.is_valid(session, caller):
        return None
    try:
        signer_said: object = _signer(secret, job_id).loads(signed, max_age=VALID_SECONDS)
    except BadSignature:
        return None
    return caller if signer_said == actor else None


def _secret(session: Session, bootstrap_key: SecretStr | None, tenant: str, actor: str) -> str | None:
    if actor in _OPERATOR_ACTORS:
        # without a key of its own, the service lets everybody in anyway
        return keys.digest(bootstrap_key.get_secret_value()) if bootstrap_key else "open"
    key = queries.get_key(session, tenant, actor)
    return None if key is None else key.sha256


def _signer(secret: str | None, job_id: str) -> URLSafeTimedSerializer:
    assert secret is not None, "a caller has a key, or none is asked for"
    return URLSafeTimedSerializer(secret, salt=f"tdmr stream of {job_id}")
