"""A receiver of webhooks: a real HTTP server on loopback, as well or as badly behaved as it is told to be."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Behaviour = Callable[["Handler"], None]
GIGABYTE = 2**30


@dataclass(frozen=True)
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """What has arrived, and how the next request is answered."""

    port: int
    behaviour: Behaviour
    received: list[Received] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    """Ends what hangs."""
    named: list[str | None] = field(default_factory=list)
    """The names that were asked for with TLS."""
    sent_bytes: int = 0
    """Of bodies, as far as the client took them."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks"


class Handler(BaseHTTPRequestHandler):
    receiver: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.receiver.received.append(Received(self.path, headers, body))
        self.receiver.behaviour(self)

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.receiver.received.append(Received(self.path, headers, b""))
        self.receiver.behaviour(self)

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def answers(status: int, body: bytes = b"", **headers: str) -> Behaviour:
    return lambda handler: handler.reply(status, body, **headers)


def hangs(handler: Handler) -> None:
    """Takes the request and says nothing."""
    handler.receiver.released.wait()


def trickles(handler: Handler) -> None:
    """A byte of the head now and then, so that no single read is long."""
    while not handler.receiver.released.wait(0.05):
        handler.wfile.write(b"H")
        handler.wfile.flush()


def sends_a_gigabyte(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(GIGABYTE))
    handler.end_headers()
    piece = b"x" * 2**16
    while handler.receiver.sent_bytes < GIGABYTE:
        handler.wfile.write(piece)  # breaks off where the client has gone
        handler.receiver.sent_bytes += len(piece)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that leaves early is what some tests are about


_THANKS = answers(204)


@contextmanager
def receiving(
    behaviour: Behaviour = _THANKS, port: int = 0, tls: tuple[Path, Path] | None = None
) -> Iterator[Receiver]:
    """A receiver on a free port, or on this one.

    Args:
        tls: its certificate and key; without, it speaks plain HTTP.
    """
    handler = type("Bound", (Handler,), {})
    server = _Server(("127.0.0.1", port), handler)
    receiver = Receiver(server.server_address[1], behaviour)
    handler.receiver = receiver  # type: ignore[attr-defined]
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        context.sni_callback = lambda _socket, name, _context: receiver.named.append(name)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
