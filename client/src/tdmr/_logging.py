"""The log of this package, `tdmr`: one line for each request and each wait, without headers, bodies or keys."""

from __future__ import annotations

import logging
import os

logger = logging.getLogger("tdmr")
logger.addHandler(logging.NullHandler())


def configure_from_environment() -> None:
    """TDMR_LOG=debug (or info, warning) shows it on standard error."""
    level = os.environ.get("TDMR_LOG", "").upper()
    if level in ("DEBUG", "INFO", "WARNING"):
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(level)
