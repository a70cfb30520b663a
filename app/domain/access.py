"""Callers and their scopes, tenants and their quotas."""

from dataclasses import dataclass
from enum import StrEnum

OPERATOR_TENANT = "default"
"""Its admin keys, TDMR_API_KEY first, act for every tenant: they make a new tenant's first key."""
TENANT_NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"


class Scope(StrEnum):
    """What a key may do. None includes another."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"
    """Keys and the audit trail."""


ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose request it is; objects of other tenants do not exist for it."""

    tenant: str
    actor: str
    """Id of the key; `bootstrap` for TDMR_API_KEY, `local` where no key is asked for, `cli` for the command line."""
    scopes: frozenset[Scope] = ALL_SCOPES
    address: str | None = None
    """Where the request comes from; behind a proxy that FORWARDED_ALLOW_IPS names, what the proxy says."""

    @property
    def is_operator(self) -> bool:
        return self.tenant == OPERATOR_TENANT


@dataclass(frozen=True, slots=True)
class Quotas:
    """What one tenant may take at a time. None: no limit."""

    bytes: int | None = None
    """Of all its data sets, as they were uploaded."""
    queued: int | None = None
    """Jobs that wait for a worker."""
    running: int | None = None
    """Jobs that workers run; more than that wait, whatever their place in the queue."""
    job_hours: float | None = None
    """Of one job, by the low end of its estimate. The operator's, for all tenants."""
