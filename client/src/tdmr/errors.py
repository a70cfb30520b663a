"""What can go wrong. Every exception of this package is a `TdmrError`; problems that the service answers with are in
`tdmr.problems`, one class for each code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tdmr._words import in_calls

if TYPE_CHECKING:
    import httpx2


class TdmrError(Exception):
    """The base of all errors of this package."""

    hint: str | None = None
    """What to do about it."""
    hint_as_sent: str | None = None
    """The same where it is the service's, which speaks of its routes."""
    retry_after: float | None = None
    """Seconds after which the service asks to try again."""

    def _take_hint(self, sent: str | None) -> None:
        self.hint_as_sent, self.hint = sent, in_calls(sent) if sent else None


class ConnectionFailed(TdmrError):
    """The service could not be reached, or the connection was lost too often."""


class TimedOut(ConnectionFailed):
    """The service did not answer in time."""


class Unexpected(TdmrError):
    """What answered does not speak as the service does: another program at that address, or a proxy."""


class UploadFailed(TdmrError):
    """What was to be uploaded cannot be read, or has changed meanwhile."""


class DownloadFailed(TdmrError):
    """A file arrived damaged, again and again."""


class NoModel(TdmrError):
    """The folder holds no student that can be used in this way."""


class Missing(TdmrError):
    """A package is needed that is not installed."""


class JobEnded(TdmrError):
    """A job that should have succeeded did not: it failed, was cancelled or is paused."""

    def __init__(self, job_id: str, state: str, error: Any = None) -> None:
        self.job_id, self.state = job_id, state
        self.code: str | None = error.code if error is not None else None
        """Of the problem that made it fail."""
        self._take_hint(error.hint if error is not None else None)
        said = error.detail if error is not None else f"It is {state}."
        super().__init__(_joined(f"The job {job_id} has not succeeded. {said}", self.hint))


class DatasetRejected(TdmrError):
    """The service cannot use what was uploaded."""

    def __init__(self, dataset_id: str, error: Any = None) -> None:
        self.dataset_id = dataset_id
        self.code: str | None = error.code if error is not None else None
        self._take_hint(error.hint if error is not None else None)
        said = error.detail if error is not None else "The service gives no reason."
        super().__init__(_joined(f"The data set {dataset_id} was rejected. {said}", self.hint))


class DatasetUnclear(TdmrError):
    """It has to be said which classes a data set has. It is kept meanwhile."""

    def __init__(self, dataset_id: str, name: str, readings: Sequence[Any]) -> None:
        self.dataset_id = dataset_id
        self.readings = readings
        """`OfferedReading`s, the likeliest first."""
        self.hint = f"Say which one is meant: client.datasets.get({dataset_id!r}).choose({_first_id(readings)!r})."
        ways = [f"  {one.id}: {one.sentence} ({_classes(one)})" for one in readings]
        super().__init__("\n".join([f"It is not clear which classes {name} has. It may have", *ways]))


class APIError(TdmrError):
    """A problem that the service answered with (RFC 9457)."""

    code: str = "unknown"
    """The kind of problem, for programs. The subclasses in `tdmr.problems` have one each."""
    status: int = 0
    """The HTTP status."""

    def __init__(self, problem: Mapping[str, Any], status: int, request_id: str | None = None) -> None:
        self.status = status
        self.code = str(problem.get("code") or self.code)
        self.title: str = str(problem.get("title") or f"HTTP {status}")
        self.detail: str = str(problem.get("detail") or "")
        self._take_hint(problem.get("hint"))
        self.param: str | None = problem.get("param")
        """The field, parameter or header that is wrong."""
        self.errors: list[dict[str, Any]] = list(problem.get("errors") or ())
        """Each of them, where there are several."""
        self.request_id: str | None = problem.get("request_id") or request_id
        """Quote it to the operator; the service's log has it, too."""
        super().__init__(self._text())

    def _text(self) -> str:
        lines = [f"{self.title}: {self.detail}" if self.detail else self.title]
        if len(self.errors) > 1:
            lines += [f"  {one.get('param') or ''}: {one.get('detail', '')}" for one in self.errors]
        if self.hint:
            lines.append(self.hint)
        lines.append(f"({self.status} {self.code}{f', {self.request_id}' if self.request_id else ''})")
        return "\n".join(lines)


def from_response(response: httpx2.Response) -> TdmrError:
    """The exception for an answer that is an error; its body has been read."""
    from tdmr.problems import BY_CODE  # it needs this module

    request_id = response.headers.get("X-Request-ID")
    try:
        problem = response.json()
        if not isinstance(problem, dict) or "code" not in problem:
            raise ValueError
    except ValueError:
        # HEAD has no body that could say more
        return not_ours(response) if response.content else APIError({}, response.status_code, request_id)
    return BY_CODE.get(str(problem["code"]), APIError)(problem, response.status_code, request_id)


def not_ours(response: httpx2.Response) -> Unexpected:
    """The exception for an answer that is not the service's."""
    return Unexpected(
        f"{response.request.url} answered {response.status_code} and not as tdmr does. Is the address right, and is "
        "there a proxy in between?"
    )


def _first_id(readings: Sequence[Any]) -> str:
    return readings[0].id if readings else "…"


def _classes(reading: Any) -> str:
    few: list[str] = reading.classes[:5]
    return ", ".join([*few, "…"] if reading.class_count > len(few) else few)


def _joined(*parts: str | None) -> str:
    return " ".join(part for part in parts if part)
