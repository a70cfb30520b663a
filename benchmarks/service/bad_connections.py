"""What one client notices while another attacks the connections: `python -m benchmarks.service.bad_connections`.

An API process of its own, with the usual 1,024 open files before it raises its limit. A client asks for /healthz, on a
new connection each time, from 127.0.0.1; the attackers come from 127.0.0.2, in a process of their own. Each kind of
attack is tried so many times, or for as long as it may take. In the same run without an attack, before and after.
"""

import argparse
import asyncio
import multiprocessing
import os
import resource
import socket
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.service.api_process import ApiProcess

ATTACKER, FILES = "127.0.0.2", 1024
HEAD = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
PIECE, ENDLESS_BYTES = b"a" * 2**16, 20 * 2**20
AT_ONCE = 20
"""Endless heads: so many are sent at a time. Slow ones all are."""
GIVE_UP_SECONDS = 30.0
INTERVAL_SECONDS = 0.05


async def endless(port: int) -> str:
    """20 MB of one header, as fast as they are taken."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(ATTACKER, 0))
    with suppress(ConnectionError):
        writer.write(HEAD + b"X-Endless: ")
        for _ in range(ENDLESS_BYTES // len(PIECE)):
            writer.write(PIECE)
            await writer.drain()
    answer = b""
    with suppress(ConnectionError):
        answer = await reader.read(64)
    writer.close()
    return _outcome(answer)


async def slow(port: int) -> str:
    """A byte of the head each second, for ever."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(ATTACKER, 0))
    answering = asyncio.ensure_future(reader.read(64))
    with suppress(ConnectionError):
        writer.write(HEAD + b"X-Slow: ")
        while not answering.done():
            writer.write(b"a")
            await asyncio.wait([answering], timeout=1)
    answer = b""
    with suppress(ConnectionError):
        answer = await answering
    writer.close()
    return _outcome(answer)


def _outcome(answer: bytes) -> str:
    return answer.split(b" ")[1].decode() if answer.startswith(b"HTTP/1.1 ") else "closed"


KINDS: dict[str, tuple[Callable[[int], Awaitable[str]], int]] = {
    "endless heads": (endless, AT_ONCE),
    "slow heads": (slow, 100_000),
}


def attack(kind: str, port: int, tries: int, seconds: float, result: Connection) -> None:
    """In a process of its own: what became of the tries, those that nothing became of as `open`."""
    # an attacker has a machine of its own and takes no turn from the service, whatever priority that was started with
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.nice(19)
    result.send("ready")
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    result.send(asyncio.run(_attack(*KINDS[kind], port, tries, seconds)))


async def _attack(
    one: Callable[[int], Awaitable[str]], at_once: int, port: int, tries: int, seconds: float
) -> Counter[str]:
    turns, outcomes = asyncio.Semaphore(at_once), Counter[str]()

    async def attempt() -> None:
        async with turns:
            try:
                outcomes[await one(port)] += 1
            except OSError as error:
                outcomes[type(error).__name__] += 1

    _, pending = await asyncio.wait([asyncio.ensure_future(attempt()) for _ in range(tries)], timeout=seconds)
    outcomes["open"] = len(pending)
    for task in pending:
        task.cancel()
    return +outcomes


def ask(port: int) -> bool:
    """Whether /healthz answers."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), GIVE_UP_SECONDS) as connection:
        connection.sendall(HEAD + b"Connection: close\r\n\r\n")
        return connection.recv(4096).startswith(b"HTTP/1.1 200 ")
    return False


def watch(api: ApiProcess, over: Callable[[], bool]) -> tuple[list[float], int]:
    """What the client waits, in milliseconds, infinite where it gets no answer; and the most memory of the API.

    It asks twenty times a second, whatever it has to wait: what it could not ask in time counts from when it was due.
    """
    waits, memory, due = [], 0, time.monotonic()
    while not over():
        answered = ask(api.port)
        waits.append(1000 * (time.monotonic() - due) if answered else float("inf"))
        memory = max(memory, api.memory())
        due += INTERVAL_SECONDS
        time.sleep(max(0.0, due - time.monotonic()))
    return waits, memory


def row(phase: str, became: str, waits: list[float], memory: int) -> str:
    waits = sorted(waits)
    p99 = waits[min(len(waits) - 1, round(0.99 * len(waits)))]
    failed = sum(wait == float("inf") for wait in waits)
    figures = f"{statistics.median(waits):.1f} | {p99:.0f} | {waits[-1]:.0f} | {failed} of {len(waits)}"
    return f"| {phase} | {became} | {figures} | {memory / 1e6:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tries", type=int, default=1100, help="of each kind")
    parser.add_argument("--seconds", type=float, default=40, help="longest attack; slow heads are held for so long")
    parser.add_argument("--quiet-seconds", type=float, default=10, help="without an attack, before and after")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    print("| attack | became of the tries | /healthz, ms: median | p99 | max | not answered | API, MB |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        api = ApiProcess(Path(folder))
        api.start()
        try:
            for kind in (None, *KINDS, None):
                print(_phase(api, kind, options), flush=True)
        finally:
            api.kill()


def _phase(api: ApiProcess, kind: str | None, options: argparse.Namespace) -> str:
    if kind is None:
        end = time.monotonic() + options.quiet_seconds
        return row("none", "", *watch(api, lambda: time.monotonic() > end))
    ours, theirs = multiprocessing.Pipe()
    arguments = (kind, api.port, options.tries, options.seconds, theirs)
    attacking = multiprocessing.get_context("spawn").Process(target=attack, args=arguments)
    attacking.start()
    ours.recv()
    waits, memory = watch(api, lambda: not attacking.is_alive())
    became = ", ".join(f"{outcome}: {count}" for outcome, count in sorted(ours.recv().items()))
    return row(kind, became, waits, memory)


if __name__ == "__main__":
    main()
