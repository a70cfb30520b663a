"""The JSON of API keys and the audit trail."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from app.db import models
from app.domain.access import TENANT_NAME, Scope
from app.domain.base import NOT_TEXT, Shown
from app.domain.names import Text


class KeyCreate(BaseModel):
    """A new API key."""

    model_config = ConfigDict(extra="forbid")

    name: Text = Field(min_length=1, description="What the key is for.", examples=["build server"])
    scopes: list[Scope] = Field(
        default=[Scope.READ, Scope.WRITE],
        min_length=1,
        description="`read` allows reading, `write` allows changes, `admin` manages keys; no scope includes another.",
    )
    expires_in_days: Annotated[int, Field(ge=1, le=3650), NOT_TEXT] | None = Field(
        default=None, description="Null: the key does not expire."
    )
    tenant: str | None = Field(
        default=None,
        pattern=TENANT_NAME,
        description="Only for the operator's keys; null means your own tenant.",
        examples=["acme"],
    )


class KeyRead(Shown):
    """An API key without its secret."""

    id: str = Field(description="Its id; not the key itself.", examples=["key_01JCZ7Q5W3N0R8V6T4X2Y1A9BC"])
    object: Literal["api_key"] = "api_key"
    tenant: str = Field(description="Whose objects it may reach.", examples=["acme"])
    name: str = Field(description="What it is for.", examples=["build server"])
    scopes: list[Scope] = Field(description="What it may do.", examples=[["read", "write"]])
    created_at: datetime = Field(description="When it was created.")
    expires_at: datetime | None = Field(description="When it stops working; null: never.")
    last_used_at: datetime | None = Field(description="Accurate to one minute.")

    @classmethod
    def from_row(cls, key: models.ApiKey) -> Self:
        return cls(
            id=key.id,
            tenant=key.tenant,
            name=key.name,
            scopes=key.scopes,
            created_at=key.created_at,
            expires_at=key.expires_at,
            last_used_at=key.last_used_at,
        )


class KeyCreated(KeyRead):
    """A new API key. Only this answer contains the secret."""

    key: str = Field(description="Send it as `Authorization: Bearer …`.", examples=["tdmr_…"])


class AuditRead(Shown):
    """One entry of the audit trail."""

    id: str = Field(description="Its id.", examples=["aud_01JCZ7Q5W3N0R8V6T4X2Y1A9BC"])
    object: Literal["audit_entry"] = "audit_entry"
    actor: str = Field(description="Id of the API key, or `bootstrap`, `local`, `cli` or `service`.")
    action: str = Field(description="The operationId in this document.", examples=["delete_dataset"])
    object_id: str | None = Field(description="What was changed.", examples=["ds_01JCZ7Q5W3N0R8V6T4X2Y1A9BC"])
    request_id: str | None = Field(description="Also in the log.")
    address: str | None = Field(description="From where the request came.", examples=["192.0.2.7"])
    created_at: datetime = Field(description="When it was done.")

    @classmethod
    def from_row(cls, entry: models.AuditEntry) -> Self:
        return cls(
            id=entry.id,
            actor=entry.actor,
            action=entry.action,
            object_id=entry.object_id,
            request_id=entry.request_id,
            address=entry.address,
            created_at=entry.created_at,
        )
