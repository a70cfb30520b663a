"""What tests do where something that they need is not there."""

import os
from typing import NoReturn

import pytest


def lacking(what: str) -> NoReturn:
    """Skip the test; or fail, where TDMR_REQUIRE_SERVICES=1 says that everything must be there."""
    if os.environ.get("TDMR_REQUIRE_SERVICES") == "1":
        pytest.fail(what)
    pytest.skip(what)
