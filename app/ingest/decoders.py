"""Work on files in processes of their own, on all cores, answers in order.

A decoder that dies of a file takes its process with it, not the import: the file is done again alone, and if it is the
one it is told apart from the others.
"""

import ctypes
import multiprocessing
import os
import resource
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.context import BaseContext
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import psutil

Found = TypeVar("Found")

DIED = "its decoder crashed, or took too long or too much memory"
"""The answer about a file whose process did not survive it."""
CPU_SECONDS = 30.0
"""Of one file. The largest allowed image takes a tenth of that."""
_BYTES_PER_PIXEL = 24
"""What decoding may hold at once: up to five copies at four bytes, and what a format needs."""
_BASE_BYTES = 2**27
"""Beside pixels: files on their way and what the libraries want."""
_MACHINE_SHARE = 0.75
_WAITING_BYTES = 2**28
"""Of files on their way to the processes; one that is larger still goes alone."""
_TASK_BYTES, _TASK_FILES = 2**18, 32
"""Small files travel together: a message to a process costs about as much as decoding a thumbnail."""
_PR_SET_PDEATHSIG = 1

Job = tuple[str, bytes]
"""A file's path and bytes."""
_Task = tuple[list[Job], Future[list[Found]]]
"""Files that travel together, and their answers."""


def processes_for(max_pixels: int, memory_bytes: float | None = None) -> int:
    """As many as there are cores, and as fit into the memory when each meets the worst image."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    memory = psutil.virtual_memory().total * _MACHINE_SHARE if memory_bytes is None else memory_bytes
    return max(1, min(cores, int(memory // worst_bytes(max_pixels))))


class Decoders:
    """Processes that run a function over files. Its answers come in the order of the files."""

    def __init__(
        self, max_pixels: int, processes: int, *, threaded: bool = False, cpu_seconds: float = CPU_SECONDS
    ) -> None:
        """`cpu_seconds`: of one file.

        `threaded`: we have threads, so that our processes must not be forked off us: a lock that some thread holds
        would be held in them for ever. They start when they are first needed, in tenths of a second.
        """
        self._threaded = threaded
        self._each = partial(_each, cpu_seconds)
        self._memory = worst_bytes(max_pixels)
        self._processes = processes
        self._pool = self._start(processes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def close(self) -> None:
        """Without waiting for a file under way, which its process ends with."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def one(self, function: Callable[[bytes], Found], data: bytes) -> Found | None:
        """The function's answer about one file, None where its process died."""
        try:
            found: list[Found] = self._pool.submit(self._each, function, [data]).result()
        except BrokenProcessPool:
            # it was alone, so there is nothing to find out by doing it again
            self._pool.shutdown(wait=True)
            self._pool = self._start(self._processes)
            return None
        return found[0]

    def map(self, function: Callable[[bytes], Found], files: Iterable[Job]) -> Iterator[tuple[str, Found | None]]:
        """Each path with the function's answer, None where its process died. A few files are in memory at a time.

        Args:
            function: importable by name, or a `partial` of one that is.
            files: paths with bytes.
        """
        waiting: deque[_Task[Found]] = deque()
        for files_together in _in_tasks(files):
            waiting.append((files_together, self._submit(function, files_together)))
            while len(waiting) > 2 * self._processes or _bytes(waiting) > _WAITING_BYTES:
                yield from self._answers(function, waiting)
        while waiting:
            yield from self._answers(function, waiting)

    def _submit(self, function: Callable[[bytes], Found], files: list[Job]) -> Future[list[Found]]:
        try:
            return self._pool.submit(self._each, function, [data for _, data in files])
        except BrokenProcessPool as error:  # another task's file has broken it: this one goes the same way
            broken: Future[list[Found]] = Future()
            broken.set_exception(error)
            return broken

    def _answers(
        self, function: Callable[[bytes], Found], waiting: "deque[_Task[Found]]"
    ) -> list[tuple[str, Found | None]]:
        """Of the oldest task; where the pool broke, of all that wait, each file then being alone in a process."""
        files, future = waiting.popleft()
        try:
            return list(zip([path for path, _ in files], future.result(), strict=True))
        except BrokenProcessPool:
            files = [file for task in (files, *(task for task, _ in waiting)) for file in task]
            waiting.clear()
            self._pool.shutdown(wait=True)
            answers = self._one_by_one(function, files)
            self._pool = self._start(self._processes)
            return answers

    def _one_by_one(self, function: Callable[[bytes], Found], files: Iterable[Job]) -> list[tuple[str, Found | None]]:
        answers: list[tuple[str, Found | None]] = []
        pool = self._start(1)
        for path, data in files:
            try:
                answers.append((path, pool.submit(self._each, function, [data]).result()[0]))
            except BrokenProcessPool:
                answers.append((path, None))
                pool.shutdown(wait=True)
                pool = self._start(1)
        pool.shutdown(wait=True)
        return answers

    def _start(self, processes: int) -> ProcessPoolExecutor:
        if self._threaded:
            context: BaseContext = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload([__name__, "app.imaging"])
            parent = None  # it is the server of forks
        else:
            # fork: the import is a process of its own without threads at this point, and a start takes milliseconds
            context, parent = multiprocessing.get_context("fork"), os.getpid()
        return ProcessPoolExecutor(processes, context, initializer=limit, initargs=(parent, self._memory))


def _in_tasks(files: Iterable[Job]) -> Iterator[list[Job]]:
    task: list[Job] = []
    size = 0
    for file in files:
        task.append(file)
        size += len(file[1])
        if size >= _TASK_BYTES or len(task) >= _TASK_FILES:
            yield task
            task, size = [], 0
    if task:
        yield task


def _bytes(waiting: "deque[_Task[Found]]") -> int:
    return sum(len(data) for files, _ in waiting for _, data in files)


def _each(cpu_seconds: float, function: Callable[[bytes], Found], files: list[bytes]) -> list[Found]:
    answers = []
    for data in files:
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)  # its signal's default is to end the process
        answers.append(function(data))
    signal.setitimer(signal.ITIMER_PROF, 0)
    return answers


def limit(parent: int | None, memory_bytes: int) -> None:
    """In a new process: die with the one that started it, and take no more memory than the worst image may."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started us
    if parent is None:
        threading.Thread(target=_end_with_parent, daemon=True).start()
        if sys.platform == "linux":
            # where memory ends, it is not the service that the kernel shall end
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if parent is not None and os.getppid() != parent:
            os._exit(1)
    limit = psutil.Process().memory_info().vms + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _end_with_parent() -> None:
    """The server of forks does not end as long as we hold the pipe by which it would learn that nobody needs it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def worst_bytes(max_pixels: int) -> int:
    """Memory that decoding the largest allowed image may take."""
    return _BASE_BYTES + _BYTES_PER_PIXEL * max_pixels
