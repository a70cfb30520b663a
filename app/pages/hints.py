"""Hints on pages. They name routes of the API; who looks at a page is led to pages."""

import re
from typing import NamedTuple

from markupsafe import Markup, escape

from app.reports import text

_ROUTE = re.compile(r"`?(\b(?:GET|POST|PUT|PATCH|DELETE) /v1(?:/[\w{}-]+)+)`?")


class Place(NamedTuple):
    """Where a page does what a route does. `*` stands for an id."""

    label: str
    href: str = ""
    """None of those that are on the page of the hint's object, which may lack an id."""


NEW_JOB, DATA_SETS = Place("New job", "/jobs/new"), Place("Data sets", "/datasets")
PLACES = {
    "GET /v1/teachers": NEW_JOB,
    "GET /v1/students": NEW_JOB,
    "GET /v1/jobs": Place("Jobs", "/jobs"),
    "POST /v1/jobs": NEW_JOB,
    "POST /v1/jobs/estimate": NEW_JOB,
    "POST /v1/jobs/*/rerun": Place("“Run again”"),
    "GET /v1/jobs/*/artifacts": Place("the job's page"),
    "GET /v1/datasets": DATA_SETS,
    "POST /v1/datasets": DATA_SETS,
    "GET /v1/datasets/*": Place("the data set's page"),
    "POST /v1/datasets/*/layout": Place("the data set's page"),
    "POST /v1/uploads": DATA_SETS,
    "GET /v1/webhooks": Place("Webhooks", "/webhooks"),
    "PATCH /v1/webhooks/*": Place("its page", "/webhooks/*"),
    "POST /v1/webhooks/*/rotate-secret": Place("its page", "/webhooks/*"),
    "GET /v1/webhooks/*/deliveries": Place("the webhook's page"),
    "GET /v1/keys": Place("Keys", "/keys"),
}
_PATTERNS = [
    (re.compile(re.escape(route).replace(r"\*", r"(\{\w+\}|[\w-]+)")), place) for route, place in PLACES.items()
]


def hint(said: str) -> Markup:
    """With links to pages instead of routes. A route that no page stands for stays as it is."""
    shown, at = Markup(""), 0
    for found in _ROUTE.finditer(said):
        before = said[at : found.start()]
        begins = not said[: found.start()].strip() or before.endswith((". ", "! ", "? "))
        shown += text.sentence(before) + _link(found[1], begins=begins)
        at = found.end()
    return shown + text.sentence(said[at:])


def _link(route: str, *, begins: bool) -> Markup:
    for pattern, place in _PATTERNS:
        if found := pattern.fullmatch(route):
            label = place.label[0].upper() + place.label[1:] if begins else place.label
            href = place.href.replace("*", found[1]) if "*" in place.href else place.href
            return Markup('<a href="{}">{}</a>').format(href, label) if href else escape(label)
    return Markup("<code>{}</code>").format(route)
