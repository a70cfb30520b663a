"""`POST /jobs` and its like: every path under `/v1` answers without it too."""

from collections.abc import Set

from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PREFIX = "/v1"
_READING = frozenset({"GET", "HEAD"})


class ShortPaths:
    """Serves `/jobs…` as `/v1/jobs…`, for every noun of the API.

    The path is changed before anything looks at it: limits, metrics and the audit trail know one path for each route.
    Where the application has a page of its own at the short path, a browser gets the page and everything else the API.
    """

    def __init__(self, app: ASGIApp, nouns: Set[str]) -> None:
        """
        Args:
            nouns: the first parts of the paths behind `/v1`.
        """
        self.app, self.nouns = app, nouns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"][1:].partition("/")[0] not in self.nouns:
            await self.app(scope, receive, send)
            return

        async def send_with_vary(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).add_vary_header("Accept")
            await send(message)

        await self.app(scope if _has_page(scope) else _with_prefix(scope), receive, send_with_vary)


def prefers_html(accept: str) -> bool:
    """Whether an `Accept` wants HTML at least as much as JSON and names it, as browsers do."""
    quality = dict(_weighed(part) for part in accept.lower().split(","))
    html = quality.get("text/html", 0.0)
    return html > 0 and html >= quality.get("application/json", 0.0)


def _weighed(part: str) -> tuple[str, float]:
    media_type, *parameters = (piece.strip() for piece in part.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return media_type, float(parameter[2:])
            except ValueError:
                return media_type, 0.0
    return media_type, 1.0


def _has_page(scope: Scope) -> bool:
    if scope["method"] not in _READING or not prefers_html(Headers(scope=scope).get("accept", "")):
        return False
    # in a copy, where routes leave notes for the path that they were asked about
    return any(route.matches({**scope})[0] is Match.FULL for route in scope["app"].routes)


def _with_prefix(scope: Scope) -> Scope:
    changed = {**scope, "path": PREFIX + scope["path"]}
    if scope.get("raw_path"):
        changed["raw_path"] = PREFIX.encode() + scope["raw_path"]
    return changed
