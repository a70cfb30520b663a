"""Waiting for at most so long."""

from __future__ import annotations

import time

from tdmr.errors import TimedOut


class Deadline:
    """A number of seconds from now on; None is for ever."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def at_most(self, seconds: float, what: str) -> float:
        """`seconds`, or less where less is left.

        Raises:
            TimedOut: nothing is left.
        """
        if self._end is None:
            return seconds
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimedOut(f"The time to wait for {what} is over. It goes on.")
        return max(1.0, min(seconds, left))
