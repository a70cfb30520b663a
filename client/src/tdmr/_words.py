"""The service's hints in the words of who reads them.

They name routes ("GET /v1/jobs lists your jobs."), which nobody sees who calls this package or its command. A route
that is not in the table stays as it is: the service may be newer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple


class Way(NamedTuple):
    """One thing to do, in the words of the service, of this package and of its command. `*` stands for an id."""

    route: str
    call: str
    command: str | None = None
    """None where there is none."""

    def pattern(self) -> re.Pattern[str]:
        return re.compile(re.escape(self.route).replace(r"\*", r"(\{\w+\}|[\w-]+)"))


WAYS = (
    Way("GET /v1/teachers", "client.teachers.list()", "tdmr teachers search"),
    Way("GET /v1/students", "client.students.list()", "tdmr students search"),
    Way("GET /v1/jobs", "client.jobs.list()", "tdmr jobs list"),
    Way("POST /v1/jobs", "client.jobs.create()", "tdmr jobs create"),
    Way("POST /v1/jobs/estimate", "client.jobs.estimate()", "tdmr jobs estimate"),
    Way("POST /v1/jobs/*/rerun", "client.jobs.rerun(*)", "tdmr jobs rerun *"),
    Way("GET /v1/jobs/*/artifacts", "client.jobs.artifacts(*)"),
    Way("GET /v1/datasets", "client.datasets.list()", "tdmr datasets list"),
    Way("POST /v1/datasets", "client.datasets.create()", "tdmr datasets push"),
    Way("GET /v1/datasets/*", "client.datasets.get(*)", "tdmr datasets show *"),
    Way("POST /v1/datasets/*/layout", "client.datasets.choose(*, …)", "tdmr datasets choose *"),
    Way("POST /v1/uploads", "client.datasets.create()", "tdmr datasets push"),
    Way("GET /v1/webhooks", "client.webhooks.list()", "tdmr webhooks list"),
    Way("PATCH /v1/webhooks/*", "client.webhooks.update(*)"),
    Way("POST /v1/webhooks/*/rotate-secret", "client.webhooks.rotate_secret(*)"),
    Way("GET /v1/webhooks/*/deliveries", "client.webhooks.deliveries(*)", "tdmr webhooks deliveries *"),
    Way("GET /v1/keys", "client.keys.list()"),
)
_ROUTE = re.compile(r"`?\b(?:GET|POST|PUT|PATCH|DELETE) /v1(?:/[\w{}-]+)+`?")


def in_calls(hint: str) -> str:
    """With calls of this package instead of routes."""
    return _worded(hint, lambda way: way.call, lambda given: given.strip("{}") if "{" in given else repr(given))


def in_commands(hint: str) -> str:
    """With commands instead of routes."""
    return _worded(hint, lambda way: way.command, lambda given: given.strip("{}").upper() if "{" in given else given)


def _worded(hint: str, said: Callable[[Way], str | None], told: Callable[[str], str]) -> str:
    def instead(found: re.Match[str]) -> str:
        route = found[0].strip("`")
        for way in WAYS:
            matched = way.pattern().fullmatch(route)
            words = said(way) if matched else None
            if matched and words:
                return f"`{words.replace('*', told(matched[1])) if matched.groups() else words}`"
        return found[0]

    return _ROUTE.sub(instead, hint)
