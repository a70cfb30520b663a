"""Clients that put a load on an HTTP service: `wrk`, an asyncio client in its place, and pollers that follow events.

A request is the bytes that go over the wire.
"""

import asyncio
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

PAGE = 100


class Address(NamedTuple):
    host: str
    port: int


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


@dataclass(frozen=True)
class Load:
    """What a service did under load."""

    seconds: float
    per_second: float
    p50_ms: float
    p99_ms: float
    failed: int
    """Answers of 400 and above, and broken connections."""

    @property
    def line(self) -> dict[str, float]:
        return {name: round(value, 2) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Followed:
    """What the pollers saw."""

    polls: Load
    lost: int
    """Events that were written and not seen, seen twice or out of order."""


def request(method: str, path: str, headers: Mapping[str, str] | None = None, body: object = None) -> bytes:
    """With a JSON body, if one is given."""
    content = b"" if body is None else json.dumps(body).encode()
    fields = {"Host": "127.0.0.1", "Content-Length": str(len(content))} | dict(headers or {})
    if body is not None:
        fields["Content-Type"] = "application/json"
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + content


class Connection:
    """One kept-alive connection; it asks one thing at a time. Connects at the first request."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, asked: bytes) -> Answer:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        reader, writer = self._streams
        writer.write(asked)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return Answer(int(head[0].split(" ", 2)[1]), headers, body)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()


def measure(address: Address, requests: Sequence[bytes], *, seconds: float, connections: int, wrk: bool) -> Load:
    """Send the requests in turns, over and over, on so many connections that each wait for their answers."""
    if wrk:
        return _with_wrk(address, requests, seconds, connections)
    return asyncio.run(_with_asyncio(address, requests, seconds, connections))


async def follow(address: Address, written: Mapping[str, int], *, every: float, until: asyncio.Event) -> Followed:
    """Let one poller each follow the events of a job, from the first one on, until it has seen all.

    Args:
        written: how many events each job has; grows while it runs, and counts once `until` is set.
        every: seconds from one poll of a poller to its next.
    """
    latencies: list[float] = []
    failed = 0
    began = time.monotonic()

    async def poller(number: int, job_id: str) -> list[int]:
        nonlocal failed
        seen: list[int] = []
        connection = Connection(address)
        await asyncio.sleep(every * number / len(written))
        while True:
            last_look = until.is_set()
            more = True
            while more:
                started = time.perf_counter()
                after = seen[-1] if seen else 0
                answer = await connection.ask(request("GET", f"/v1/jobs/{job_id}/events?after={after}&limit={PAGE}"))
                latencies.append(time.perf_counter() - started)
                failed += answer.status != 200
                page: dict[str, Any] = json.loads(answer.body)
                seen += [event["seq"] for event in page.get("data", ())]
                more = page.get("has_more", False)
            if last_look and answer.status == 200:
                connection.close()
                return seen
            await asyncio.sleep(max(0.0, every - (time.perf_counter() - started)))

    jobs = list(written)
    followed = await asyncio.gather(*(poller(number, job_id) for number, job_id in enumerate(jobs)))
    lost = sum(
        len(set(range(1, written[job_id] + 1)) ^ set(seen)) + (seen != sorted(set(seen)))
        for job_id, seen in zip(jobs, followed, strict=True)
    )
    return Followed(_load(latencies, time.monotonic() - began, failed), lost)


async def _with_asyncio(address: Address, requests: Sequence[bytes], seconds: float, connections: int) -> Load:
    latencies: list[float] = []
    failed = 0
    began = time.monotonic()

    async def client(first: int) -> None:
        nonlocal failed
        connection, number = Connection(address), first
        while time.monotonic() - began < seconds:
            started = time.perf_counter()
            answer = await connection.ask(requests[number % len(requests)])
            latencies.append(time.perf_counter() - started)
            failed += answer.status >= 400
            number += connections
        connection.close()

    await asyncio.gather(*(client(first) for first in range(connections)))
    return _load(latencies, time.monotonic() - began, failed)


def _load(latencies: Sequence[float], seconds: float, failed: int) -> Load:
    percentiles = [1000 * value for value in statistics.quantiles(latencies, n=100)]
    return Load(seconds, len(latencies) / seconds, percentiles[49], percentiles[98], failed)


_WRK = """
local requests = %s
local last = 0
request = function()
  last = last %% #requests + 1
  return requests[last]
end
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('RESULT {"answers": %%d, "seconds": %%f, "p50_ms": %%f, "p99_ms": %%f, "failed": %%d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.status + e.connect + e.read + e.write + e.timeout))
end
"""


def _with_wrk(address: Address, requests: Sequence[bytes], seconds: float, connections: int) -> Load:
    # a JSON string of ASCII is a Lua string too
    listed = "{" + ",".join(json.dumps(asked.decode("ascii")) for asked in requests) + "}"
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "requests.lua"
        script.write_text(_WRK % listed)
        url = f"http://{address.host}:{address.port}"
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{max(1, round(seconds))}s",
            "--timeout=30s",
            f"-s{script}",
            url,
        ]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = json.loads(printed.partition("RESULT ")[2])
    return Load(
        found["seconds"], found["answers"] / found["seconds"], found["p50_ms"], found["p99_ms"], found["failed"]
    )
