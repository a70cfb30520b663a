"""Every SELECT stands in `app/db/queries/`."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[4]
QUERIES = ROOT / "app" / "db" / "queries"


def selects(path: Path) -> Iterator[int]:
    """The lines on which a module that knows SQLAlchemy builds a SELECT."""
    source = path.read_text()
    if "sqlalchemy" in source:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in {"select", "exists"}:
                yield node.lineno


def test_stands_in_the_query_modules() -> None:
    assert any(list(selects(path)) for path in QUERIES.glob("*.py"))
    modules = [path for folder in ("app", "worker") for path in (ROOT / folder).rglob("*.py")]
    elsewhere = [path for path in modules if path.parent != QUERIES]
    assert [f"{path.relative_to(ROOT)}:{line}" for path in elsewhere for line in selects(path)] == []
