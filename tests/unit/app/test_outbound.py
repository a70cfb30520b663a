"""Requests to receivers that users have named, over real sockets."""

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from app.domain.addresses import Address, Destinations
from app.domain.errors import DestinationRefused
from app.outbound import NotReached, Outbound, Patience, resolve
from tests.receiving import GIGABYTE, Receiver, answers, hangs, receiving, sends_a_gigabyte, trickles

LOOPBACK = Destinations.parse("127.0.0.1")
AS_EVER = Patience()
SHORT = Patience(connect=20, read=0.5, total=60)


class Names:
    """A resolver that knows one name: each question gets the next answer, the last one again and again."""

    def __init__(self, *answers: str | Sequence[str]) -> None:
        self._answers = [[answer] if isinstance(answer, str) else [*answer] for answer in answers]
        self.asked: list[tuple[str, int]] = []

    def __call__(self, host: str, port: int) -> list[Address]:
        self.asked.append((host, port))
        found = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [ip_address(one) for one in found]


def post(outbound: Outbound, url: str, patience: Patience = AS_EVER) -> tuple[int, bytes]:
    with outbound.open("POST", url, headers={"X-Test": "1"}, content=b"{}", patience=patience) as answer:
        return answer.status, answer.start(1024)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(answers(200, b"thanks")) as receiver:
        yield receiver


class TestOpen:
    def test_reaches_a_receiver_that_is_allowed(self, receiver: Receiver) -> None:
        assert post(Outbound(LOOPBACK), f"{receiver.url}?a=b") == (200, b"thanks")
        (received,) = receiver.received
        assert (received.path, received.body) == ("/hooks?a=b", b"{}")
        assert received.headers["host"] == f"127.0.0.1:{receiver.port}"

    @pytest.mark.parametrize(
        "host",
        [
            *("127.0.0.1", "[::1]", "0.0.0.0", "[::]", "10.0.0.1", "192.168.0.1", "172.16.0.1", "100.64.0.1"),
            *("169.254.1.1", "[fe80::1]", "169.254.169.254", "[fd00:ec2::254]", "[::ffff:127.0.0.1]"),
            *("[64:ff9b::7f00:1]", "[::ffff:169.254.169.254]", "0x7f.1", "2130706433", "0177.1", "localhost"),
        ],
    )
    def test_refuses_what_is_not_public(self, receiver: Receiver, host: str) -> None:
        with pytest.raises(DestinationRefused):
            post(Outbound(Destinations()), f"http://{host}:{receiver.port}/")
        assert receiver.received == []

    @pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:10.0.0.1"])
    def test_refuses_a_name_that_leads_there(self, receiver: Receiver, address: str) -> None:
        with pytest.raises(DestinationRefused, match=r"^rebound\.example \("):
            post(Outbound(Destinations(), Names(address)), f"http://rebound.example:{receiver.port}/")
        assert receiver.received == []

    def test_refuses_a_name_that_leads_there_among_others(self, receiver: Receiver) -> None:
        with pytest.raises(DestinationRefused):
            post(Outbound(LOOPBACK, Names(["127.0.0.1", "127.0.0.2"])), f"http://two.example:{receiver.port}/")
        assert receiver.received == []

    def test_connects_to_the_address_that_was_checked_and_asks_once(self, receiver: Receiver) -> None:
        """A name that changes between check and connection: the second answer would be the metadata service."""
        names = Names("127.0.0.1", "169.254.169.254")
        outbound = Outbound(LOOPBACK, names)
        assert post(outbound, f"http://rebound.example:{receiver.port}/") == (200, b"thanks")
        assert names.asked == [("rebound.example", receiver.port)]
        assert receiver.received[0].headers["host"] == f"rebound.example:{receiver.port}"
        with pytest.raises(DestinationRefused, match=r"169\.254\.169\.254.*metadata"):  # judged with each attempt
            post(outbound, f"http://rebound.example:{receiver.port}/")
        assert len(receiver.received) == 1

    def test_tries_the_next_address_where_one_does_not_answer(self, receiver: Receiver) -> None:
        allowed = Destinations.parse("127.0.0.0/8")
        names = Names(["127.9.9.9", "127.0.0.1"])
        assert post(Outbound(allowed, names), f"http://two.example:{receiver.port}/")[0] == 200

    @pytest.mark.parametrize("location", ["http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:{port}/there"])
    def test_follows_no_redirect(self, receiver: Receiver, location: str) -> None:
        receiver.behaviour = answers(302, Location=location.format(port=receiver.port))
        assert post(Outbound(LOOPBACK), receiver.url)[0] == 302
        assert [request.path for request in receiver.received] == ["/hooks"]

    def test_uses_no_proxy_of_the_environment(self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        assert post(Outbound(LOOPBACK), receiver.url)[0] == 200

    def test_reads_no_more_than_it_is_asked_to(self, receiver: Receiver) -> None:
        receiver.behaviour = sends_a_gigabyte
        assert post(Outbound(LOOPBACK), receiver.url) == (200, b"x" * 1024)
        assert receiver.sent_bytes < GIGABYTE / 10  # what the buffers of both ends hold

    def test_leaves_one_that_hangs(self, receiver: Receiver) -> None:
        receiver.behaviour = hangs
        with pytest.raises(NotReached, match=r"Nothing was received for 0\.5 s"):
            post(Outbound(LOOPBACK), receiver.url, SHORT)

    def test_leaves_one_that_sends_a_byte_now_and_then(self, receiver: Receiver) -> None:
        receiver.behaviour = trickles
        started = time.monotonic()
        with pytest.raises(NotReached, match="not complete after 2 s"):
            post(Outbound(LOOPBACK), receiver.url, Patience(connect=20, read=20, total=2))
        assert time.monotonic() - started >= 2

    def test_leaves_a_name_that_is_not_resolved_in_time(self) -> None:
        released = threading.Event()

        def never(host: str, port: int) -> list[Address]:
            released.wait()
            return []

        with pytest.raises(NotReached, match="could not be resolved"):
            post(Outbound(LOOPBACK, never), "http://slow.example/", Patience(connect=0.2, read=1, total=5))
        released.set()

    def test_says_why_it_did_not_get_through(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # nobody listens there
            with pytest.raises(NotReached, match="The connection failed: Connection refused"):
                post(Outbound(LOOPBACK), f"http://127.0.0.1:{taken.getsockname()[1]}/")
        with pytest.raises(NotReached, match=r"nowhere\.invalid cannot be resolved"):
            post(Outbound(LOOPBACK), "http://nowhere.invalid/")

    def test_says_of_what_speaks_no_http(self) -> None:
        with listening(b"220 mail.example ESMTP\r\n") as port, pytest.raises(NotReached, match="does not speak HTTP"):
            post(Outbound(LOOPBACK), f"http://127.0.0.1:{port}/")


class TestTls:
    def test_the_certificate_is_checked_against_the_name_and_sni_carries_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        certificate, key = self_signed(tmp_path, "hooks.example")
        monkeypatch.setattr("app.outbound._tls", lambda: ssl.create_default_context(cafile=str(certificate)))
        outbound = Outbound(LOOPBACK, Names("127.0.0.1"))
        with receiving(answers(200, b"thanks"), tls=(certificate, key)) as receiver:
            assert post(outbound, f"https://hooks.example:{receiver.port}/") == (200, b"thanks")
            assert receiver.named == ["hooks.example"]
            with pytest.raises(NotReached, match="The certificate is not trusted: Hostname mismatch"):
                post(outbound, f"https://other.example:{receiver.port}/")

    def test_an_unknown_authority_is_not_trusted(self, tmp_path: Path) -> None:
        certificate, key = self_signed(tmp_path, "hooks.example")
        with (
            receiving(answers(200), tls=(certificate, key)) as receiver,
            pytest.raises(NotReached, match="The certificate is not trusted"),
        ):
            post(Outbound(LOOPBACK, Names("127.0.0.1")), f"https://hooks.example:{receiver.port}/")
        assert receiver.received == []


def test_the_system_resolver_gives_addresses() -> None:
    assert ip_address("127.0.0.1") in resolve("localhost", 80)


def self_signed(folder: Path, name: str) -> tuple[Path, Path]:
    certificate, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


@contextmanager
def listening(greeting: bytes) -> Iterator[int]:
    """A port that says something of its own to whoever connects."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            connection, _ = server.accept()
            connection.sendall(greeting)
            connection.recv(65536)
            connection.close()

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join()
