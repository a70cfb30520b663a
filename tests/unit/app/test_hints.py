"""Hints name routes of the API; people who look at pages, call the client or type commands are told in their words."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.main import create_app
from app.pages.hints import PLACES, hint
from app.settings import Settings
from tdmr._words import WAYS, in_calls, in_commands

ROOT = Path(__file__).parents[3]
ROUTE = re.compile(r"\b(?:GET|POST|PUT|PATCH|DELETE) /v1(?:/[\w{}-]+)+")


def hints() -> Iterator[str]:
    """Every hint that the service and its workers can give, with `{}` where something is put in."""
    for folder in ("app", "worker"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.keyword) and node.arg == "hint":
                    yield "".join(_strings(node.value))


def _strings(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.FormattedValue):
        yield "{id}"
    elif isinstance(node, ast.Constant):
        yield str(node.value)
    else:
        for part in ast.iter_child_nodes(node):
            yield from _strings(part)


def named() -> set[str]:
    return {re.sub(r"\{\w+\}", "*", route) for said in hints() for route in ROUTE.findall(said)}


BY_HAND = "POST /v1/jobs/*/events/ticket"
"""For those alone who read a stream by hand."""


def test_finds_the_hints() -> None:
    assert {"GET /v1/jobs", "GET /v1/students", "POST /v1/webhooks/*/rotate-secret", BY_HAND} <= named()


def test_every_route_that_a_hint_names_is_one_of_the_api(tmp_path: Path) -> None:
    paths = create_app(Settings(home=tmp_path)).openapi()["paths"]
    known = {f"{method.upper()} {re.sub(r'{[^}]+}', '*', path)}" for path, way in paths.items() for method in way}
    assert named() | PLACES.keys() | {way.route for way in WAYS} <= known


def test_every_route_that_a_hint_names_has_words_for_everybody() -> None:
    assert named() - {BY_HAND} == PLACES.keys() == {way.route for way in WAYS}


@pytest.mark.parametrize(
    ("said", "calls", "commands"),
    [
        ("GET /v1/jobs lists your jobs.", "`client.jobs.list()` lists your jobs.", "`tdmr jobs list` lists your jobs."),
        (
            "`POST /v1/jobs/{id}/rerun` makes them again.",
            "`client.jobs.rerun(id)` makes them again.",
            "`tdmr jobs rerun ID` makes them again.",
        ),
        (
            "PATCH /v1/webhooks/wh_1 changes it; GET /v1/webhooks/wh_1/deliveries lists them.",
            "`client.webhooks.update('wh_1')` changes it; `client.webhooks.deliveries('wh_1')` lists them.",
            "PATCH /v1/webhooks/wh_1 changes it; `tdmr webhooks deliveries wh_1` lists them.",
        ),
        ("POST /v1/new starts one.", "POST /v1/new starts one.", "POST /v1/new starts one."),
    ],
)
def test_the_client_and_its_command(said: str, calls: str, commands: str) -> None:
    assert (in_calls(said), in_commands(said)) == (calls, commands)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("GET /v1/jobs lists your jobs.", '<a href="/jobs">Jobs</a> lists your jobs.'),
        ("Is it a<b? GET /v1/students lists all.", 'Is it a&lt;b? <a href="/jobs/new">New job</a> lists all.'),
        ("GET /v1/jobs/{id}/artifacts lists the files.", "The job&#39;s page lists the files."),
        ("Use `x`; GET /v1/jobs/{id}/artifacts lists them.", "Use <code>x</code>; the job&#39;s page lists them."),
        ("PATCH /v1/webhooks/wh_1 changes it.", '<a href="/webhooks/wh_1">Its page</a> changes it.'),
        ("POST /v1/new starts one.", "<code>POST /v1/new</code> starts one."),
    ],
)  # fmt: skip
def test_pages(said: str, shown: str) -> None:
    assert hint(said).replace("<bdi>", "").replace("</bdi>", "") == shown
