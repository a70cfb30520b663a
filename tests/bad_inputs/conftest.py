"""Each row of what a person or an attacker may send, through the real service; the test's name carries the row."""

from tests.integration.conftest import service

__all__ = ["service"]
