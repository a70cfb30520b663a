"""HTTP requests to addresses that users have named, which must not lead into the operator's network.

A name is resolved once. Every address it has is judged (`app.domain.addresses`), and the connection goes to one of the
addresses that were judged, never to the name again: a name that leads elsewhere a moment later gains nothing. `Host`,
SNI and the certificate are those of the name. No redirect is followed, no proxy of the environment is used, and a
deadline bounds the whole exchange, however slowly bytes come.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from typing import Any

import httpcore2 as httpcore

from app.domain.addresses import Address, Destinations, literal_address
from app.domain.urls import address_of

Resolve = Callable[[str, int], Sequence[Address]]


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that a request may take."""

    connect: float = 5
    """To find the address, to connect, and for the handshake of TLS: each."""
    read: float = 10
    """Between two pieces that are sent or received."""
    total: float = 20


class NotReached(Exception):
    """There was no answer. The text says why, to whoever named the receiver."""


class TookTooLong(NotReached):
    """There was none in time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and headers have arrived; the body is read as far as somebody asks."""

    status: int
    headers: Mapping[str, str]
    body: Iterable[bytes]

    def start(self, most: int) -> bytes:
        """The first bytes of the body, `most` of them at most; the rest is never read."""
        kept = b""
        for piece in self.body:
            kept += piece[: most - len(kept)]
            if len(kept) >= most:
                break
        return kept


def resolve(host: str, port: int) -> list[Address]:
    """All addresses that the system's resolver has for a name.

    Raises:
        OSError: if there are none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ip_address(entry[4][0]) for entry in found))


class Outbound:
    """Sends requests to allowed destinations only. Used by many threads at once."""

    def __init__(self, destinations: Destinations, resolve: Resolve = resolve) -> None:
        self._destinations, self._resolve = destinations, resolve

    @contextmanager
    def open(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: bytes = b"",
        patience: Patience = Patience(),
    ) -> Iterator[Answer]:
        """The answer to one request; the connection is closed with the block.

        Raises:
            DestinationRefused: if the host has an address that may not be connected to.
            NotReached: for whatever else keeps the answer from arriving, in the block too.
        """
        asked, deadline = address_of(url), time.monotonic() + patience.total
        address = httpcore.URL(scheme=asked.scheme, host=asked.host, port=asked.port, target=asked.target)
        length = {"Content-Length": str(len(content))} if content or method == "POST" else {}
        sent = {"Host": asked.authority, **length, "Connection": "close", **headers}
        timeouts = {"connect": patience.connect, "read": patience.read, "write": patience.read}
        connection = httpcore.HTTPConnection(
            address.origin,
            ssl_context=_tls() if asked.scheme == "https" else None,
            network_backend=_CheckedBackend(self._addresses, deadline),
        )
        try:
            request = httpcore.Request(
                method, address, headers=list(sent.items()), content=content, extensions={"timeout": timeouts}
            )
            answer = connection.handle_request(request)
            fields = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
            yield Answer(answer.status, fields, answer.iter_stream())
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            late = isinstance(error, httpcore.TimeoutException)
            raise (TookTooLong if late else NotReached)(_in_words(error, patience, deadline)) from error
        finally:
            connection.close()

    def _addresses(self, host: str, port: int, seconds: float) -> Sequence[Address]:
        """Those of the host, all of which may be connected to."""
        literal = literal_address(host)
        addresses = [literal] if literal is not None else self._look_up(host, port, seconds)
        self._destinations.require(host, addresses)
        return addresses

    def _look_up(self, host: str, port: int, seconds: float) -> Sequence[Address]:
        """In a thread that is left behind where it takes too long: the system's resolver knows no timeout."""
        found: list[Sequence[Address] | Exception] = []

        def ask() -> None:
            try:
                found.append(self._resolve(host, port))
            except (OSError, ValueError) as error:  # the codec's UnicodeError is a ValueError
                found.append(error)

        thread = threading.Thread(target=ask, name="resolver", daemon=True)
        thread.start()
        thread.join(seconds)
        if not found:
            raise NotReached(f"The name {host} could not be resolved within {seconds:.0f} s.")
        if isinstance(found[0], Exception) or not found[0]:
            raise NotReached(f"The name {host} cannot be resolved.")
        return found[0]


class _CheckedBackend(httpcore.NetworkBackend):
    """Connects to addresses that were judged."""

    def __init__(self, addresses: Callable[[str, int, float], Sequence[Address]], deadline: float) -> None:
        self._addresses, self._deadline = addresses, deadline
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        bounded = _left(self._deadline, timeout)
        give_up = time.monotonic() + bounded
        addresses = self._addresses(host, port, bounded)
        for number, address in enumerate(addresses, 1):
            try:
                # of what is left, so that one address that says nothing leaves time for the next
                share = _left(give_up, None) / (len(addresses) - number + 1)
                stream = self._sockets.connect_tcp(str(address), port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if number == len(addresses):
                    raise
            else:
                return _DeadlineStream(stream, self._deadline)
        raise AssertionError("a host has an address")


class _DeadlineStream(httpcore.NetworkStream):
    """A connection on which nothing lasts beyond the deadline: a receiver that sends a byte every few seconds never
    exceeds the time between two bytes."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._deadline, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._deadline, timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, _left(self._deadline, timeout))
        return _DeadlineStream(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


@cache
def _tls() -> ssl.SSLContext:
    """The authorities that the system trusts, or SSL_CERT_FILE's; loading them takes longer than a handshake."""
    return httpcore.default_ssl_context()


def _left(deadline: float, timeout: float | None) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the deadline has passed")
    return left if timeout is None else min(left, timeout)


def _in_words(error: Exception, patience: Patience, deadline: float) -> str:
    reason = error.__context__ or error
    if isinstance(error, httpcore.TimeoutException):
        words = f"Nothing was received for {patience.read:g} s."
        if isinstance(error, httpcore.ConnectTimeout):
            words = f"No connection within {patience.connect:g} s."
        elif time.monotonic() >= deadline:
            words = f"The answer was not complete after {patience.total:g} s."
    elif isinstance(reason, ssl.SSLCertVerificationError):
        words = f"The certificate is not trusted: {reason.verify_message}."
    elif isinstance(error, httpcore.ConnectError):
        words = f"The connection failed: {getattr(reason, 'strerror', None) or reason}."
    elif isinstance(error, httpcore.ProtocolError):
        words = "The receiver does not speak HTTP, or broke off its answer."
    else:
        words = "The connection was closed before the answer was complete."
    return words
