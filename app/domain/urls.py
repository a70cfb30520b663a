"""Addresses of receivers that users name."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, AnyHttpUrl, Field, StringConstraints, ValidationError

MOST_CHARACTERS = 2048
MOST_HOST_CHARACTERS = 253
"""What the DNS allows."""


def normal_web_url(value: str, *, such_as: str, instead: str, most: int) -> str:
    """As it will be asked for: one spelling of the host, in ASCII; what a browser would strip is gone.

    Args:
        value: as somebody sent it.
        such_as: what it must be, for the error.
        instead: of a user name and a password.
        most: characters that it may have.

    Raises:
        ValueError: in words that never repeat the value, which may hold a secret.
    """
    try:
        url = AnyHttpUrl(value)
    except ValidationError:
        raise ValueError(f"must be an address such as {such_as}") from None
    if url.username is not None or url.password is not None:
        raise ValueError(f"must not contain a user name or a password; {instead}")
    if url.fragment is not None:
        raise ValueError("must not contain a fragment (#…): it would never be sent")
    if url.port == 0:
        raise ValueError("must not name port 0")
    if len(url.host or "") > MOST_HOST_CHARACTERS:
        raise ValueError(f"must name a host of at most {MOST_HOST_CHARACTERS} characters")
    normal = str(url)
    if len(normal) > most:
        raise ValueError(f"must have at most {most} characters once it is encoded")
    return normal


def _normal(value: str) -> str:
    such_as = "https://example.com/hooks, with http or https"
    return normal_web_url(value, such_as=such_as, instead="deliveries are signed instead", most=MOST_CHARACTERS)


WebUrl = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MOST_CHARACTERS),
    AfterValidator(_normal),
    Field(json_schema_extra={"format": "uri", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://"}),
]
"""An http or https address without user name, password or fragment. Whether it may be connected to is decided when it
is (`app/outbound.py`)."""


def _public(value: str) -> str:
    such_as = "https://tdmr.example.com, with http or https"
    return normal_web_url(value, such_as=such_as, instead="people sign in", most=MOST_CHARACTERS).rstrip("/")


PublicUrl = Annotated[str, AfterValidator(_public)]
"""Likewise, of a service: paths are added to it, so it has no slash at its end."""


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
