"""Browsers run pages of strangers: what a request of theirs may do here, and what a page of ours may do in one."""

import re
from collections.abc import Set

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import problem_response
from app.domain.errors import HostNotAllowed, OriginNotAllowed, TdmrError

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\[\]:/?#@]+))(?::\d*)?", re.IGNORECASE)
_ORIGIN = re.compile(r"https?://(.+)", re.IGNORECASE)

ANSWER_HEADERS = {
    # a page that needs more says so itself; nothing that a stored name or file might contain runs or is framed
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class OwnPagesOnly:
    """Refuses what a browser sends for the page of another origin: everything under a name that is not ours (DNS
    rebinding), and whatever changes something (a form or a `no-cors` fetch needs no preflight).

    Programs send neither Origin nor Sec-Fetch-Site and are not concerned. The order of the checks is that of Go's
    `http.CrossOriginProtection`.
    """

    def __init__(self, app: ASGIApp, *, hosts: Set[str], trusted_pages: Set[str]) -> None:
        """
        Args:
            hosts: names that `Host` may have, without ports; empty: any.
            trusted_pages: names whose pages may change something.
        """
        self.app = app
        self.hosts, self.trusted_pages = hosts, trusted_pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = self._objection(scope["method"], Headers(scope=scope)) if scope["type"] == "http" else None
        if problem is None:
            await self.app(scope, receive, send)
        else:
            # its body is not read
            await problem_response(problem, scope["path"], headers={"Connection": "close"})(scope, receive, send)

    def _objection(self, method: str, headers: Headers) -> TdmrError | None:
        for host in headers.getlist("host") if self.hosts else ():
            if _name(host) not in self.hosts:
                return HostNotAllowed(
                    f"The Host {host[:100]!r} is not a name of this service.",
                    hint="Use http://127.0.0.1, or name it in TDMR_ALLOWED_HOSTS.",
                    param="Host",
                )
        if method in SAFE_METHODS or not self._is_foreign(headers):
            return None
        return OriginNotAllowed(
            OriginNotAllowed.example,
            hint="Send it from a program, or name the page's host in TDMR_ALLOWED_HOSTS.",
            param="Origin",
        )

    def _is_foreign(self, headers: Headers) -> bool:
        """Whether a page of another origin sent it."""
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site in {"same-origin", "none"}:  # "none": the user did, for example in the address bar
            return False
        there = _ORIGIN.fullmatch(origin or "")
        if there and _name(there[1]) in self.trusted_pages:
            return False
        if site is not None or origin is None:
            return site is not None
        # a browser of before 2023, or plain HTTP beyond this machine
        return there is None or there[1].lower() != headers.get("host", "").lower()


class AnswerHeaders:
    """Tells the browser on every answer what little it may do with it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in ANSWER_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers)


def _name(host: str) -> str:
    """Without the port; "" where it is none."""
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]).lower() if found else ""
