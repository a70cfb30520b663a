"""Something that the worker needs goes away for a while: one line when it goes, one when it is back."""

import logging
import time


class Outage:
    """Of one thing, told by one thread."""

    def __init__(self, log: logging.Logger, what: str, so: str) -> None:
        """
        Args:
            what: is away, such as "The store".
            so: what does not happen meanwhile, such as "nothing is claimed".
        """
        self._log, self._what, self._so = log, what, so
        self._since: float | None = None

    @property
    def lasts(self) -> bool:
        return self._since is not None

    def begin(self, error: BaseException) -> None:
        """It failed. Only the first failure of an outage is told: the others say the same, every few seconds."""
        if self._since is None:
            self._since = time.monotonic()
            self._log.warning("%s is away, %s: %s", self._what, self._so, first_line(error))

    def end(self) -> None:
        """It works."""
        if self._since is not None:
            self._log.info("%s is back after %.0f s (%s)", self._what, time.monotonic() - self._since, self._so)
            self._since = None


def first_line(error: BaseException) -> str:
    """What an error says, without the statement or the traceback that some drivers add."""
    return next(iter(str(error).splitlines()), type(error).__name__)
