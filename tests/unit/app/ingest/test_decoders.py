import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from app.ingest.decoders import Decoders, processes_for


def answer(data: bytes) -> str:
    """What a decoder may do to us, by the file's first bytes."""
    if data.startswith(b"crash"):
        os.kill(os.getpid(), signal.SIGKILL)
    if data.startswith(b"spin"):
        while True:
            pass
    if data.startswith(b"eat"):
        try:
            bytearray(2**40)
        except MemoryError:
            return "no memory"
    return data.decode()


def answers(*files: bytes, processes: int = 2) -> list[str | None]:
    with Decoders(1000, processes) as pool:
        found = list(pool.map(answer, ((str(number), data) for number, data in enumerate(files))))
    assert [path for path, _ in found] == [str(number) for number in range(len(files))]
    return [value for _, value in found]


class TestOrder:
    @pytest.mark.parametrize("processes", [1, 3])
    def test_answers_come_as_the_files_do(self, processes: int) -> None:
        files = [b"%d" % number * (1 if number % 7 else 300_000) for number in range(200)]
        assert answers(*files, processes=processes) == [data.decode() for data in files]

    def test_holds_a_few_files_at_a_time(self) -> None:
        read = 0

        def files() -> Iterator[tuple[str, bytes]]:
            nonlocal read
            for number in range(1000):
                read += 1
                yield str(number), b"x" * 2**17

        with Decoders(1000, 2) as pool:
            next(iter(pool.map(answer, files())))
            assert read < 40


class TestCrash:
    def test_costs_the_file_that_caused_it(self) -> None:
        files = [b"a", b"crash", b"b", *(b"%d" % number * 200_000 for number in range(9)), b"crash 2", b"c"]
        found = answers(*files)
        assert [number for number, value in enumerate(found) if value is None] == [1, 12]
        assert (found[0], found[2], found[13]) == ("a", "b", "c")

    def test_a_file_that_takes_too_long_counts_as_one(self) -> None:
        with Decoders(1000, 2, cpu_seconds=0.5) as pool:
            files = [(name, name.encode()) for name in ("a", "spin", "b")]
            assert list(pool.map(answer, files)) == [("a", "a"), ("spin", None), ("b", "b")]

    def test_is_told_beside_threads_too(self) -> None:
        """As the API uses them: in a process that nothing may be forked off."""
        pool = Decoders(1000, 1, threaded=True)
        try:
            assert [pool.one(answer, data) for data in (b"a", b"crash", b"b")] == ["a", None, "b"]
        finally:
            pool.close()

    def test_too_much_memory_is_an_error_that_can_be_caught(self) -> None:
        assert answers(b"eat", b"b") == ["no memory", "b"]


class TestProcesses:
    @pytest.mark.parametrize("threaded", [False, True])
    def test_end_with_the_one_that_started_them(self, threaded: bool) -> None:
        code = (
            "import time, psutil\n"
            "from app.ingest.decoders import Decoders\n"
            f"with Decoders(1000, 2, threaded={threaded}) as pool:\n"
            "    list(pool.map(len, [('a', b'x')]))\n"
            "    print(*[child.pid for child in psutil.Process().children(recursive=True)], flush=True)\n"
            "    time.sleep(600)\n"
        )
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
            assert parent.stdout is not None
            children = [int(pid) for pid in parent.stdout.readline().split()]
            assert len(children) >= 2  # beside threads the server of forks, and who watches over what they share
            parent.kill()
        while any(psutil.pid_exists(pid) for pid in children):  # pytest's own time limit ends it
            time.sleep(0.02)

    def test_are_as_many_as_fit_into_the_memory(self) -> None:
        cores = len(os.sched_getaffinity(0))
        assert processes_for(64_000_000, 1e9) == 1
        assert processes_for(64_000_000, 1e12) == cores
        assert processes_for(1000) == cores
