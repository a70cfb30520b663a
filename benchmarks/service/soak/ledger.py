"""What the service has promised the clients, and what they have seen of it."""

import threading
from collections import Counter

MOST_FINDINGS = 200
"""Kept in words; all are counted."""


class Ledger:
    """Shared by all threads of the soak."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.datasets: dict[str, str] = {}
        """The state in which each accepted data set must end."""
        self.jobs: dict[str, str] = {}
        """The same of jobs."""
        self.counts: Counter[str] = Counter()
        self.findings: list[str] = []
        """What must not happen."""
        self._progress: dict[str, float] = {}

    def accept_dataset(self, dataset_id: str, ends_as: str) -> None:
        with self._lock:
            self.datasets[dataset_id] = ends_as

    def accept_job(self, job_id: str, ends_as: str) -> None:
        with self._lock:
            self.jobs[job_id] = ends_as

    def known_jobs(self) -> list[str]:
        with self._lock:
            return list(self.jobs)

    def known_datasets(self) -> list[str]:
        """Those that become ready."""
        with self._lock:
            return [dataset_id for dataset_id, ends_as in self.datasets.items() if ends_as == "ready"]

    def count(self, what: str, number: int = 1) -> None:
        with self._lock:
            self.counts[what] += number

    def find(self, problem: str) -> None:
        """Note what must not happen."""
        with self._lock:
            self.counts["findings"] += 1
            if len(self.findings) < MOST_FINDINGS:
                self.findings.append(problem)
        print(f"FOUND: {problem}", flush=True)

    def see_progress(self, job_id: str, progress: float) -> None:
        """A job's progress never decreases."""
        with self._lock:
            before = self._progress.get(job_id, 0.0)
            self._progress[job_id] = max(before, progress)
        if progress < before:
            self.find(f"{job_id}: progress went back from {before} to {progress}")
