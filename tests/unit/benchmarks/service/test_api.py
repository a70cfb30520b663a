"""The load benchmark's own parts: what it counts as lost, and its arithmetic."""

import asyncio
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.service import api
from benchmarks.service.api_clients import Address, Followed, follow, measure, request


def figures(per_second: float) -> dict[str, float]:
    return {"per_second": per_second, "p50_ms": 10.0, "p99_ms": 20.0, "cpu_ms": 1.5}


LINE: dict[str, Any] = {
    "rounds": [
        {api.HEALTH: figures(1000), "GET a job": figures(200)},
        {api.HEALTH: figures(100), "GET a job": figures(30)},
        {api.HEALTH: figures(500), "GET a job": figures(50)},
    ],
    "pollers": {"count": 200, "events": 1500, "lost": 0, "per_second": 190.0, "p50_ms": 5.0, "p99_ms": 90.0},
}


class Events:
    """A service that knows the event pages of one job."""

    def __init__(self, seqs: Sequence[int]) -> None:
        self.seqs = list(seqs)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := (await reader.readuntil(b"\r\n\r\n")).decode():
            match = re.match(r"GET /v1/jobs/job_1/events\?after=(\d+)&limit=\d+ ", head)
            assert match is not None
            later = [seq for seq in self.seqs if seq > int(match[1])]
            body = json.dumps({"data": [{"seq": seq} for seq in later[:2]], "has_more": len(later) > 2}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def followed(seqs: Sequence[int], written: int) -> Followed:
    async def run() -> Followed:
        server = await asyncio.start_server(Events(seqs).serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        ended = asyncio.Event()
        ended.set()
        return await follow(Address(host, port), {"job_1": written}, every=0.01, until=ended)

    return asyncio.run(run())


class TestFollow:
    def test_reads_on_until_there_is_no_more(self) -> None:
        seen = followed(range(1, 6), 5)
        assert (seen.lost, seen.polls.failed) == (0, 0)

    @pytest.mark.parametrize(("seqs", "lost"), [([1, 2, 4, 5], 1), ([1, 2, 3], 2), ([1, 2, 3, 4, 5, 6], 1)])
    def test_counts_what_is_missing_and_what_nobody_wrote(self, seqs: Sequence[int], lost: int) -> None:
        assert followed(seqs, 5).lost == lost


class TestTable:
    def test_ratios_are_medians_of_each_rounds_own(self) -> None:
        assert api.ratio_of(LINE, "GET a job") == 0.2
        assert api.table(LINE).splitlines()[2:] == [
            "| GET /healthz | 500 | 10 ms | 20 ms | 1.50 ms |  |",
            "| GET a job | 50 | 10 ms | 20 ms | 1.50 ms | 0.20 |",
            "| 200 pollers, 0 of 1,500 events lost | 190 | 5 ms | 90 ms |  |  |",
        ]


class TestRequest:
    def test_is_what_goes_over_the_wire(self) -> None:
        head = b"POST /a HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 8\r\nX: 1\r\n"
        body = b'Content-Type: application/json\r\n\r\n{"b": 2}'
        assert request("POST", "/a", {"X": "1"}, {"b": 2}) == head + body

    def test_is_measured_without_wrk_too(self, tmp_path: Path) -> None:
        """Against a server in another thread."""
        import http.server
        import threading

        class Fine(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.send_response(200 if self.path == "/fine" else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Fine) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            address = Address("127.0.0.1", server.server_port)
            asked = [request("GET", "/fine"), request("GET", "/wrong")]
            load = measure(address, asked, seconds=0.5, connections=2, wrk=False)
            server.shutdown()
            thread.join()
        assert 0 < load.failed < load.per_second * load.seconds
        assert load.p50_ms <= load.p99_ms
