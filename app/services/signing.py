"""How a receiver knows who has sent a delivery: the Standard Webhooks scheme."""

import base64
import secrets
from collections.abc import Sequence
from datetime import datetime

from standardwebhooks import Webhook as Signer

PREFIX = "whsec_"
SECRET_BYTES = 32
"""The scheme allows 24 to 64."""


def new_secret() -> str:
    """In the form in which the scheme's libraries take it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signed_headers(keys: Sequence[str], event_id: str, at: datetime, body: str) -> dict[str, str]:
    """The three headers that say what this is, when it was sent, and that it was not altered.

    Args:
        keys: secrets; one signature for each, of which a receiver needs to know one.
        event_id: the same whenever the event is sent, so that a receiver knows what it has seen.
        at: the time of this attempt; receivers refuse what is some minutes old.
    """
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Signer(key).sign(event_id, at, body) for key in keys),
    }
