"""Rows 70 to 74 of the bad inputs: what a connection may do before it has a key, at the real server. Endless and slow
heads, floods, requests without end, a forged address."""

import contextlib
import http.client
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from app.server.protocol import Bounds
from app.settings import Settings
from tests.support import WAIT_SECONDS, exchange, served

Address = tuple[str, int]
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
UPLOAD = b"POST /v1/datasets HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/zip\r\n"
HURRIED = Bounds(request_seconds=0.5, head_seconds=0.3)
PATIENT = Bounds(request_seconds=WAIT_SECONDS)
MEGABYTE = b"a" * 2**20


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    with served(Settings(home=tmp_path_factory.mktemp("home")), PATIENT) as address:
        yield address


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    with served(Settings(home=tmp_path_factory.mktemp("home")), HURRIED) as address:
        yield address


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def answered(connection: socket.socket) -> int:
    """The status of the next answer, which is read to its end: head and body may come apart."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    answer.read()
    return answer.status


def alive(address: Address, source: str = "127.0.0.1") -> int:
    """The status that this client is answered with; 0 if it is not answered."""
    connection = http.client.HTTPConnection(*address, timeout=WAIT_SECONDS, source_address=(source, 0))
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status
    except (http.client.HTTPException, ConnectionError):
        return 0
    finally:
        connection.close()


class TestHeads:
    @pytest.mark.parametrize(
        "start",
        [
            HEALTH + b"X-Endless: ",
            b"GET /",
            HEALTH + b"X-Endless",
            UPLOAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: ",
            UPLOAD + b"Transfer-Encoding: chunked\r\n\r\n5;extension=",
        ],
        ids=["value", "path", "name", "trailer", "chunk extension"],
    )
    def test_bad_input_row70_without_end_are_refused_while_they_come(self, service: Address, start: bytes) -> None:
        answer = exchange(service, start, *[MEGABYTE] * 8)

        assert b"HTTP/1.1 431 " in answer
        assert b'"code":"head_too_large"' in answer
        assert alive(service) == 200

    def test_bad_input_row70_without_end_behind_another_request_are_broken_off(self, service: Address) -> None:
        answer = exchange(service, HEALTH + b"\r\n" + HEALTH + b"X-Endless: ", *[MEGABYTE] * 8)
        assert answer.count(b"HTTP/1.1 200 ") <= 1  # which of the two comes first is chance
        assert alive(service) == 200

    def test_bad_input_row70_that_are_complete_but_too_large_are_refused(self, service: Address) -> None:
        whole = HEALTH + b"X-Large: " + b"a" * 33_000 + b"\r\n\r\n"
        many = HEALTH + b"".join(b"X-%d: a\r\n" % number for number in range(6000)) + b"\r\n"
        for head in (whole, many):
            answer = exchange(service, head)
            assert (status(answer), b"onnection: close" in answer) == (431, True)

    def test_of_30_kilobytes_are_taken_however_they_are_cut(self, service: Address) -> None:
        head = HEALTH + b"Connection: close\r\nX-Large: " + b"a" * 30_000 + b"\r\n\r\n"
        assert status(exchange(service, head)) == 200
        assert status(exchange(service, *(head[i : i + 1000] for i in range(0, len(head), 1000)))) == 200

    def test_behind_a_large_body_are_counted_by_themselves(self, service: Address) -> None:
        body = b"[" + b" " * 500_000 + b"]"
        first = b"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        first += b"Content-Length: %d\r\n\r\n" % len(body)
        answer = exchange(service, first + body + HEALTH + b"Connection: close\r\n\r\n")
        assert [status(part) for part in answer.split(b"HTTP/1.1 ")[1:] for part in [b"HTTP/1.1 " + part]] == [422, 200]

    def test_bad_input_row71_that_are_slow_are_answered_408(self, hurried: Address) -> None:
        answer = exchange(hurried, HEALTH)
        assert (status(answer), b'"code":"head_too_slow"' in answer) == (408, True)

    def test_bad_input_row71_that_trickle_are_answered_408_too(self, hurried: Address) -> None:
        with socket.create_connection(hurried, timeout=WAIT_SECONDS) as connection:
            connection.sendall(HEALTH)
            connection.settimeout(0.05)
            answer, deadline = b"", time.monotonic() + WAIT_SECONDS
            while not answer:
                assert time.monotonic() < deadline
                connection.sendall(b"X: y\r\n")
                try:
                    answer = connection.recv(65536)
                except TimeoutError:
                    continue
        assert status(answer) == 408

    def test_bad_input_row71_that_never_begin_end_with_the_connection(self, hurried: Address) -> None:
        assert exchange(hurried) == b""

    def test_bad_input_row71_that_never_begin_after_an_answer_do_so_too(self, hurried: Address) -> None:
        with socket.create_connection(hurried, timeout=WAIT_SECONDS) as connection:
            connection.sendall(HEALTH + b"\r\n")
            assert answered(connection) == 200
            connection.sendall(b"\r\n")  # a parser skips empty lines
            assert answered(connection) == 408

    def test_that_are_none_are_answered_with_a_problem(self, service: Address) -> None:
        answer = exchange(service, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        assert (status(answer), b'"code":"malformed_request"' in answer) == (400, True)

    def test_that_ask_for_a_websocket_get_http(self, service: Address) -> None:
        upgrade = (
            b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: a\r\n\r\n"
        )
        with socket.create_connection(service, timeout=WAIT_SECONDS) as connection:
            connection.sendall(HEALTH + upgrade)
            assert status(connection.recv(65536)) == 200


class TestConnections:
    @pytest.fixture
    def small(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
        settings = Settings(home=tmp_path_factory.mktemp("home"), max_connections=10, max_connections_per_address=6)
        with served(settings, PATIENT) as address:
            yield address

    def hold(self, stack: ExitStack, address: Address, source: str, count: int) -> list[socket.socket]:
        """Connections that have begun a head and say nothing more."""
        held = [stack.enter_context(socket.create_connection(address, WAIT_SECONDS, (source, 0))) for _ in range(count)]
        for connection in held:
            connection.sendall(HEALTH)
        return held

    def test_bad_input_row72_that_wait_give_way_to_others(
        self, small: Address, caplog: pytest.LogCaptureFixture
    ) -> None:
        with ExitStack() as stack:
            for source in ("127.0.0.2", "127.0.0.3"):
                self.hold(stack, small, source, 5)
            deadline, statuses = time.monotonic() + WAIT_SECONDS, set()
            while (now := alive(small)) != 200:  # whoever has just come does not give way
                statuses.add(now)
                assert time.monotonic() < deadline
            assert statuses <= {503, 0}
        told = [message for message in caplog.messages if "TDMR_MAX_CONNECTIONS" in message]
        assert 1 <= len(told) <= 2

    def test_bad_input_row72_of_one_address_leave_room_for_others(self, small: Address) -> None:
        with ExitStack() as stack:
            self.hold(stack, small, "127.0.0.2", 6)
            (refused,) = self.hold(stack, small, "127.0.0.2", 1)
            answer = refused.recv(65536)
            assert (status(answer), b'"code":"too_many_connections"' in answer) == (503, True)
            assert alive(small, "127.0.0.3") == 200

    def test_of_a_trusted_proxy_are_counted_in_all_only(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FORWARDED_ALLOW_IPS", "127.0.0.2")
        few = settings.model_copy(update={"max_connections_per_address": 1})
        with served(few, PATIENT) as address, ExitStack() as stack:
            self.hold(stack, address, "127.0.0.2", 5)
            assert alive(address, "127.0.0.2") == 200

    def test_that_are_closed_make_room(self, small: Address) -> None:
        for _ in range(3):
            with ExitStack() as stack:
                self.hold(stack, small, "127.0.0.2", 6)
            deadline = time.monotonic() + WAIT_SECONDS
            while alive(small, "127.0.0.2") != 200:
                assert time.monotonic() < deadline

    def test_may_be_as_many_as_the_hard_limit_of_files_allows(self) -> None:
        script = (
            "import resource as r; from app.server.config import raise_descriptor_limit\n"
            "hard = r.getrlimit(r.RLIMIT_NOFILE)[1]; r.setrlimit(r.RLIMIT_NOFILE, (100, hard))\n"
            "raise_descriptor_limit(); print(r.getrlimit(r.RLIMIT_NOFILE) == (hard, hard))"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout == "True\n"


class TestRequests:
    def test_bad_input_row73_without_end_are_ended(self, hurried: Address) -> None:
        answer = exchange(hurried, UPLOAD + b"Content-Length: 1000000\r\n\r\n" + b"a" * 1000)
        assert (status(answer), b'"code":"upload_too_slow"' in answer) == (408, True)
        assert b"was not over after 0.5 s" in answer

    def test_bad_input_row73_whose_answer_nobody_reads_are_broken_off(
        self, settings: Settings, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Seen in the log, and in what is missing once the client does read."""
        count = 8  # 12 MB: the kernel keeps some
        request = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        with served(settings, HURRIED) as address, socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(WAIT_SECONDS)
            connection.connect(address)
            connection.sendall(request * count)
            deadline = time.monotonic() + WAIT_SECONDS
            while not any("was not over after 0.5 s" in message for message in caplog.messages):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            answer = b""
            with contextlib.suppress(ConnectionResetError):
                while received := connection.recv(2**20):
                    answer += received
        assert answer.count(b"HTTP/1.1 200 ") < count
        assert b"upload_too_slow" not in answer  # that would look like a part of the file
        assert "unexpected error" not in caplog.messages

    def test_that_end_leave_the_next_one_its_own_time(self, hurried: Address) -> None:
        connection = http.client.HTTPConnection(*hurried, timeout=WAIT_SECONDS)
        began = time.monotonic()
        while (asked := time.monotonic()) < began + 3 * HURRIED.request_seconds:
            try:
                connection.request("GET", "/healthz")
                assert connection.getresponse().read()
            except ConnectionError:  # on a machine that stood still; else the connection's age has counted
                began = time.monotonic()
                assert began - asked >= HURRIED.request_seconds
                connection.close()
        connection.close()


def test_bad_input_row74_nobody_on_this_machine_says_where_a_request_comes_from(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor meets the rate limit of another address with every request."""
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    caplog.set_level(logging.INFO)
    limited = settings.model_copy(update={"rate_limit": 3})
    with served(limited, PATIENT) as address:
        statuses = []
        for number in range(5):
            headers = {"X-Forwarded-For": f"10.0.0.{number}", "Authorization": f"Bearer tdmr_{number}"}
            connection = http.client.HTTPConnection(*address, timeout=WAIT_SECONDS)
            connection.request("GET", "/v1/jobs", headers=headers)
            statuses.append(connection.getresponse().status)
            connection.close()
    assert statuses == [401] * 3 + [429] * 2
