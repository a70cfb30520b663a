"""Archives on web servers."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from urllib.parse import urljoin

from pydantic import TypeAdapter, ValidationError

from app.domain.errors import DestinationRefused, SourceForbidden, SourceNotFound, SourceUnavailable
from app.domain.sources import SourceUrl, is_s3
from app.domain.urls import address_of
from app.outbound import Answer, NotReached, Outbound, Patience, TookTooLong
from worker.downloads.part import Interrupted, Mark, Part, Replaced

MOST_REDIRECTS = 5
"""Release pages, hubs and mirrors take one to three."""
MOST_RETRY_AFTER = 60.0
_CONNECT_SECONDS = 10.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TEMPORARY = frozenset({408, 409, 423, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})
_OK, _PARTIAL, _FORBIDDEN, _MISSING, _NOT_SATISFIABLE = 200, 206, (401, 403, 407), (404, 410), 416
_HEADERS = {
    "User-Agent": f"tdmr/{version('tdmr')} (data sets)",
    "Accept": "*/*",
    # an archive is compressed already, and parts of what is compressed on the way cannot be put together
    "Accept-Encoding": "identity",
}
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_URL: TypeAdapter[str] = TypeAdapter(SourceUrl)


class WebSource:
    """A file on a web server. Every redirect is a new address, judged like the first one."""

    def __init__(self, outbound: Outbound, url: str, idle_seconds: float) -> None:
        self._outbound, self._url, self._idle_seconds = outbound, url, idle_seconds

    @contextmanager
    def open(self, offset: int, mark: Mark | None, seconds: float) -> Iterator[Part]:
        """As `Source.open`."""
        condition = None if mark is None else mark.condition
        headers = dict(_HEADERS)
        if offset and condition is not None:
            headers |= {"Range": f"bytes={offset}-", "If-Range": condition}
        patience = Patience(_CONNECT_SECONDS, self._idle_seconds, seconds)
        url = self._url
        try:
            for hop in range(MOST_REDIRECTS + 1):
                try:
                    with self._outbound.open("GET", url, headers=headers, patience=patience) as answer:
                        if answer.status not in _REDIRECTS:
                            yield _part(answer, offset, mark)
                            return
                        url = _next(url, answer)
                except DestinationRefused as refused:
                    if hop:
                        raise DestinationRefused(
                            f"The address is redirected to another one: {refused.detail}", hint=refused.hint
                        ) from None
                    raise
        except TookTooLong as error:
            raise Interrupted(str(error), slow=True) from error
        except NotReached as error:
            raise Interrupted(str(error)) from error
        raise SourceUnavailable(
            f"The address is redirected more than {MOST_REDIRECTS} times.", hint="Send the address at the end of them."
        )


def _next(url: str, answer: Answer) -> str:
    """The address that a redirect names; never less protected than the one before."""
    try:
        target = _URL.validate_python(urljoin(url, answer.headers.get("location", "")).partition("#")[0])
    except (ValidationError, ValueError):
        target = ""  # nothing of it is told: it may hold a secret
    if not target or is_s3(target) or (address_of(url).scheme, address_of(target).scheme) == ("https", "http"):
        raise SourceUnavailable(
            "The address is redirected to something that is not fetched.",
            hint="Redirects are followed to http and https addresses without user name and password, and from https "
            "to https only.",
        )
    return target


def _part(answer: Answer, offset: int, mark: Mark | None) -> Part:
    if answer.status == _OK:
        return Part(0, _mark(answer.headers, _number(answer.headers.get("content-length"))), answer.body)
    if answer.status == _PARTIAL and offset:
        return _rest(answer, offset, mark)
    if answer.status == _NOT_SATISFIABLE and offset:
        raise Replaced
    raise _error(answer)


def _rest(answer: Answer, offset: int, mark: Mark | None) -> Part:
    """
    Raises:
        Replaced: it is the rest of something else.
    """
    found = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", "").strip())
    if found is None:
        raise SourceUnavailable("The server answers a request for a part without saying which part it sends.")
    whole = None if found[3] == "*" else int(found[3])
    now = _mark(answer.headers, whole)
    told = mark or Mark()
    changed = any(
        before is not None and after is not None and before != after
        for before, after in ((told.etag, now.etag), (told.modified, now.modified), (told.length, now.length))
    )
    if changed or int(found[1]) != offset:
        raise Replaced
    return Part(offset, told, answer.body)


def _mark(headers: Mapping[str, str], length: int | None) -> Mark:
    etag = headers.get("etag")
    return Mark(
        etag=etag if etag and not etag.startswith("W/") else None, modified=headers.get("last-modified"), length=length
    )


def _error(answer: Answer) -> Exception:
    status = answer.status
    if status in _TEMPORARY:
        seconds = _number(answer.headers.get("retry-after")) or 0
        return Interrupted(f"The server answers with status {status}.", retry_after=min(seconds, MOST_RETRY_AFTER))
    if status in _FORBIDDEN:
        return SourceForbidden(
            f"The server refuses the archive with status {status}.",
            hint="Send an address that needs no sign-in, such as a signed one that has not expired.",
        )
    if status in _MISSING:
        return SourceNotFound(
            f"The server answers with status {status}: nothing lies at this address.", hint="Check the address."
        )
    return SourceUnavailable(
        f"The server answers with status {status}.", hint="Check the address, or ask its operator."
    )


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,18}", text.strip()) else None
