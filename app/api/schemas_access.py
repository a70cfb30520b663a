"""The shapes on the wire of keys and the audit trail."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from app.db import access_models as models
from app.domain.access import TENANT_NAME, Scope
from app.domain.base import NOT_TEXT
from app.domain.names import Text


class KeyCreate(BaseModel):
    """The key that is wanted."""

    model_config = ConfigDict(extra="forbid")

    name: Text = Field(min_length=1, description="What it is for, in your words.", examples=["build server"])
    scopes: list[Scope] = Field(
        default=[Scope.READ, Scope.WRITE],
        min_length=1,
        description="`read` looks, `write` changes, `admin` manages keys; none includes another.",
    )
    expires_in_days: Annotated[int, Field(ge=1, le=3650), NOT_TEXT] | None = Field(
        default=None, description="Null: it does not expire."
    )
    tenant: str | None = Field(
        default=None,
        pattern=TENANT_NAME,
        description="For the operator's keys only; null: your own.",
        examples=["acme"],
    )


class KeyRead(BaseModel):
    """A key, without the key itself."""

    id: str = Field(examples=["key_01JCZ7Q5W3N0R8V6T4X2Y1A9BC"])
    object: Literal["api_key"] = "api_key"
    tenant: str
    name: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")

    @classmethod
    def of(cls, key: models.ApiKey) -> Self:
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
    """A new key. This is the only answer that ever has the key itself."""

    key: str = Field(description="Send it as `Authorization: Bearer …`.", examples=["tdmr_…"])


class AuditRead(BaseModel):
    """One change."""

    id: str = Field(examples=["aud_01JCZ7Q5W3N0R8V6T4X2Y1A9BC"])
    object: Literal["audit_entry"] = "audit_entry"
    actor: str = Field(description="Id of the key; `bootstrap`, `local` or `cli` where it was none.")
    action: str = Field(description="The operation's id in this document.", examples=["delete_dataset"])
    object_id: str | None
    request_id: str | None = Field(description="The log has it too.")
    address: str | None
    created_at: datetime

    @classmethod
    def of(cls, entry: models.AuditEntry) -> Self:
        return cls(
            id=entry.id,
            actor=entry.actor,
            action=entry.action,
            object_id=entry.object_id,
            request_id=entry.request_id,
            address=entry.address,
            created_at=entry.created_at,
        )
