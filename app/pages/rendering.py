"""Templates to pages: what all of them share."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from app.domain.access import Caller, Scope
from app.domain.errors import TdmrError
from app.pages.hints import hint
from app.reports import text

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Vary": "Accept",
    # what a signed-in person saw is not shown to whoever comes back to the machine
    "Cache-Control": "private, no-cache",
}
STATIC = Path(str(files("app.pages").joinpath("static")))


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks at a page."""

    caller: Caller | None
    """None where nobody has signed in."""
    csrf: str = ""
    """The token that a form sends along; empty where no session is needed."""

    @property
    def tenant(self) -> str:
        return self.caller.tenant if self.caller else ""

    @property
    def actor(self) -> str:
        return self.caller.actor if self.caller else ""

    @property
    def scopes(self) -> frozenset[Scope]:
        return self.caller.scopes if self.caller else frozenset()

    @property
    def is_operator(self) -> bool:
        return self.caller is not None and self.caller.is_operator

    @property
    def can_read(self) -> bool:
        return Scope.READ in self.scopes

    @property
    def can_write(self) -> bool:
        return Scope.WRITE in self.scopes

    @property
    def can_administer(self) -> bool:
        return Scope.ADMIN in self.scopes


NOBODY = Viewer(None)


@dataclass(frozen=True, slots=True)
class Query:
    """The query of a page, to make links that change a part of it."""

    pairs: Sequence[tuple[str, str]] = field(default=())

    def but(self, **changes: str | None) -> str:
        """With these changes; None takes a parameter away."""
        kept = [(name, value) for name, value in self.pairs if name not in changes]
        changed = [(name, value) for name, value in changes.items() if value is not None]
        encoded = urlencode([*kept, *changed])
        return f"?{encoded}" if encoded else "?"


@cache
def static_digest() -> str:
    """In the addresses of static files: they never change under one address."""
    digest = hashlib.sha256()
    for path in sorted(STATIC.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(STATIC).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def page(request: Request, viewer: Viewer, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """The page of a template; `values` are what it shows."""
    content = _ENVIRONMENT.get_template(template).render(
        viewer=viewer,
        path=request.url.path,
        query=Query(request.query_params.multi_items()),
        static=f"/static/{static_digest()}",
        version=version("tdmr"),
        **values,
    )
    return HTMLResponse(content, status, headers=HEADERS)


def error_page(request: Request, problem: TdmrError, viewer: Viewer = NOBODY) -> HTMLResponse:
    return page(request, viewer, "error.html", status=problem.status or 500, problem=problem)


def ago(time: datetime | None) -> Markup:
    """`3 min ago`, with the exact time under the mouse."""
    if time is None:
        return Markup("–")
    seconds = (datetime.now(UTC) - time).total_seconds()
    said = "just now" if abs(seconds) < 5 else f"{duration(seconds)} ago" if seconds > 0 else f"in {duration(-seconds)}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        time.isoformat(), time.strftime("%Y-%m-%d %H:%M:%S UTC"), said
    )


def duration(seconds: float | None) -> str:
    """Two units at most: `1 h 12 min`."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.0f} s" if seconds >= 1 else "under 1 s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{round(hours / 24)} days"


def percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f}\u00a0%"


def points(value: float) -> str:
    """A difference of fractions: `+1.2 points`."""
    return f"{100 * value:+.1f}\u00a0points".replace("-", "−")


def short(object_id: str) -> str:
    """The end of an id, which tells two apart."""
    return object_id[-6:]


def clock(time: datetime | None) -> Markup:
    if time is None:
        return Markup("–")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        time.isoformat(), time.strftime("%Y-%m-%d %H:%M:%S UTC"), time.strftime("%H:%M:%S")
    )


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("app.pages"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(
        visible=text.visible,
        shortened=text.shortened,
        path=text.path,
        sentence=text.sentence,
        hint=hint,
        size=text.size,
        number=text.number,
        ago=ago,
        clock=clock,
        duration=duration,
        percent=percent,
        points=points,
        short=short,
        plural=plural,
        quoted=lambda value: quote(str(value), safe=""),
    )
    return environment


_ENVIRONMENT = _environment()
