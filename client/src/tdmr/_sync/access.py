# Generated from _async by client/tools; not to be edited.
"""Keys and the audit trail, for keys with the scope `admin`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tdmr import models
from tdmr._bound import parse
from tdmr._sync._pages import Pages
from tdmr._sync._transport import Transport

_PATH = "/v1/keys"


class Keys:
    """`client.keys`. `tenant` names another tenant than your own; only keys of the operator may do so."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        name: str,
        *,
        scopes: Sequence[str] | None = None,
        expires_in_days: int | None = None,
        tenant: str | None = None,
    ) -> models.ApiKeyCreated:
        """Make a key. Keep the `key` of the answer: nothing else returns it.

        Args:
            name: what it is for.
            scopes: of `read`, `write` and `admin`; none includes another. The first two unless given.
        """
        body: dict[str, Any] = {"name": name, "expires_in_days": expires_in_days, "tenant": tenant}
        if scopes is not None:
            body["scopes"] = [*scopes]
        return parse(models.ApiKeyCreated, self._transport.json("POST", _PATH, json=body))

    def list(self, *, tenant: str | None = None, limit: int | None = None) -> Pages[models.ApiKey]:
        """All keys, newest first, expired ones included."""
        return Pages(self._transport, _PATH, models.ApiKey.model_validate, {"tenant": tenant}, limit)

    def get(self, key_id: str, *, tenant: str | None = None) -> models.ApiKey:
        """Its scopes, its expiry, and when it was last used."""
        found = self._transport.json("GET", f"{_PATH}/{key_id}", params=_of(tenant))
        return parse(models.ApiKey, found)

    def revoke(self, key_id: str, *, tenant: str | None = None) -> None:
        """Have the service refuse it, within five seconds."""
        self._transport.request("DELETE", f"{_PATH}/{key_id}", params=_of(tenant))


class Audit:
    """`client.audit`: who changed what."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self, *, object_id: str | None = None, tenant: str | None = None, limit: int | None = None
    ) -> Pages[models.AuditEntry]:
        """All entries, newest first.

        Args:
            object_id: only those about this job, data set, key or webhook.
            tenant: another tenant than your own, for keys of the operator.
        """
        params = {"object_id": object_id, "tenant": tenant}
        return Pages(self._transport, "/v1/audit", models.AuditEntry.model_validate, params, limit)


def _of(tenant: str | None) -> dict[str, str]:
    return {} if tenant is None else {"tenant": tenant}
