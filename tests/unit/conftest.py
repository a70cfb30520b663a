"""Which unit tests need torch, and which are slow."""

import importlib.util

import pytest

NEED_TORCH = (
    "app/ingest/test_importer.py",
    "benchmarks/common/test_cells.py",
    "benchmarks/common/test_training.py",
    "benchmarks/methods",
    "benchmarks/models",
    "worker/models",
    "worker/test_measuring.py",
    "worker/test_reproduction.py",
    "worker/test_verify.py",
    "worker/training",
)
# `make test-unit` on a fresh clone runs all the others, without the 2 GB
collect_ignore = [] if importlib.util.find_spec("torch") else list(NEED_TORCH)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "s3_server" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")  # it starts a service
