"""Addresses of receivers that users name."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, AnyHttpUrl, Field, StringConstraints, ValidationError

MOST_CHARACTERS = 2048
MOST_HOST_CHARACTERS = 253
"""What the DNS allows."""


def _normal(value: str) -> str:
    """As it will be asked for: one spelling of the host, in ASCII; what a browser would strip is gone."""
    try:
        url = AnyHttpUrl(value)
    except ValidationError:
        raise ValueError("must be an address such as https://example.com/hooks, with http or https") from None
    if url.username is not None or url.password is not None:
        raise ValueError("must not contain a user name or a password; deliveries are signed instead")
    if url.fragment is not None:
        raise ValueError("must not contain a fragment (#…): it would never be sent")
    if url.port == 0:
        raise ValueError("must not name port 0")
    if len(url.host or "") > MOST_HOST_CHARACTERS:
        raise ValueError(f"must name a host of at most {MOST_HOST_CHARACTERS} characters")
    normal = str(url)
    if len(normal) > MOST_CHARACTERS:
        raise ValueError(f"must have at most {MOST_CHARACTERS} characters once it is encoded")
    return normal


WebUrl = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MOST_CHARACTERS),
    AfterValidator(_normal),
    Field(json_schema_extra={"format": "uri", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://"}),
]
"""An http or https address without user name, password or fragment. Whether it may be connected to is decided when it
is (`app/outbound.py`)."""


@dataclass(frozen=True, slots=True)
class WebAddress:
    """The parts of such a URL, all in ASCII. Whoever judges it and whoever connects to it use these and parse nothing
    themselves, so that they cannot understand it differently."""

    scheme: str
    host: str
    """A name, or an address; of an IPv6 one without the brackets."""
    port: int
    target: str
    """Path and query."""
    authority: str
    """The header Host: the port only where it is not the scheme's own."""

    @property
    def server(self) -> str:
        """Host and port."""
        return f"{self.host}:{self.port}"


def address_of(url: str) -> WebAddress:
    """
    Args:
        url: as `WebUrl` has let it pass.
    """
    parsed = AnyHttpUrl(url)
    assert parsed.host is not None, "an http URL has a host"
    usual = {"http": 80, "https": 443}[parsed.scheme]
    port = parsed.port or usual
    return WebAddress(
        scheme=parsed.scheme,
        host=parsed.host.strip("[]"),
        port=port,
        target=(parsed.path or "/") + (f"?{parsed.query}" if parsed.query is not None else ""),
        authority=parsed.host if port == usual else f"{parsed.host}:{port}",
    )
