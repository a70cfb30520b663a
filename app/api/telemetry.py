"""Metrics for Prometheus. Those of the store are the same in every process; those of requests are this process's
own."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.db.engine import Store
from app.services import statistics
from app.services.reaping import Watch

LATE_HEARTBEATS = 2
"""A counter that stood still for more than so many heartbeats is late: one alone may be a busy moment."""


class Telemetry:
    """The metrics of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.request_seconds = Histogram(
            "tdmr_http_request_seconds",
            "From the request's head to the last byte of the answer, in this process.",
            ["route", "method", "status"],
            registry=self._registry,
        )

    @contextmanager
    def watching(self, store: Store, heartbeat_seconds: float) -> Iterator[None]:
        """Inside the block it reports this store too."""
        collector = _StoreCollector(store, heartbeat_seconds)
        self._registry.register(collector)
        try:
            yield
        finally:
            self._registry.unregister(collector)

    def exposition(self) -> bytes:
        """The text that Prometheus reads. Raises what the store raises when it is unavailable."""
        return generate_latest(self._registry)


class _StoreCollector(Collector):
    def __init__(self, store: Store, heartbeat_seconds: float) -> None:
        self._store, self._late_seconds = store, LATE_HEARTBEATS * heartbeat_seconds
        self._watch, self._watching = Watch(), threading.Lock()

    def describe(self) -> Iterator[Metric]:
        """Nothing: a registry would else ask the store when it is told of this collector."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        with self._store.read() as session:
            seen = statistics.read(session)
        with self._watching:
            still = self._watch.seconds_still(seen.held, time.monotonic()).values()
        late = sum(seconds > self._late_seconds for seconds in still)
        yield _by(GaugeMetricFamily("tdmr_jobs", "Jobs.", labels=["state"]), seen.jobs)
        yield _by(GaugeMetricFamily("tdmr_datasets", "Data sets.", labels=["state"]), seen.datasets)
        yield GaugeMetricFamily("tdmr_queue_age_seconds", "Age of the oldest queued job.", seen.queue_age_seconds)
        still_for_long = f"Running jobs without a sign of life for more than {LATE_HEARTBEATS} heartbeats."
        yield GaugeMetricFamily("tdmr_heartbeats_late", still_for_long, late)
        speed = "Images that all students under training see in a second."
        yield GaugeMetricFamily("tdmr_images_per_second", speed, seen.images_per_second)
        yield CounterMetricFamily("tdmr_attempts", "Claims of jobs by workers.", seen.attempts)
        yield _by(CounterMetricFamily("tdmr_jobs_finished", "Jobs that have ended.", labels=["state"]), seen.finished)
        spent = "Seconds that succeeded jobs spent, by part of the work."
        yield _by(CounterMetricFamily("tdmr_stage_seconds", spent, labels=["stage"]), seen.stage_seconds)


def _by(family: GaugeMetricFamily | CounterMetricFamily, values: Mapping[str, float]) -> Metric:
    for label, value in values.items():
        family.add_metric([label], value)
    return family
