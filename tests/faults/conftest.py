"""Real servers, a real service and a table of what was seen."""

import re
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))  # its modules are those of this folder alone

from checker import Stopwatch
from servers import Postgres, Redis, postgres_folder, running
from stack import Stack

from app.ingest import import_archive

LONGEST_SECONDS = 900
ROW = re.compile(r"test_fault_row(\d+)_(\w+)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if ROW.match(item.name):
            item.add_marker(pytest.mark.faults)
            item.add_marker(pytest.mark.timeout(LONGEST_SECONDS))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A cluster for tests that leave it alone."""
    with postgres_folder() as folder:
        server = Postgres(folder, "fsync=off")
        with running(server):
            yield server


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """One that the test may stop."""
    with postgres_folder() as folder:
        server = Postgres(folder)
        with running(server):
            yield server


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path)
    with running(server):
        yield server


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared data set of small images in two classes."""
    import shutil

    folder = tmp_path_factory.mktemp("images")
    for split, count in (("train", 8), ("test", 4)):
        for label in range(2):
            for i in range(count):
                path = folder / "archive" / split / str(label) / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (32, 32), (100 * label, 20 * i, 30 * (split == "test"))).save(path)
    archive = Path(shutil.make_archive(str(folder / "images"), "zip", folder / "archive"))
    assert import_archive(archive, folder / "out").report is not None
    return folder / "out" / "prepared.zip"


@pytest.fixture
def make_stack(tmp_path: Path, record_property: Callable[[str, object], None]) -> Iterator[Callable[..., Stack]]:
    stacks: list[Stack] = []

    def make(database_url: str = "", broker_url: str = "", **options: str) -> Stack:
        """A production stack where both are given, else an embedded one."""
        urls = {"TDMR_DATABASE_URL": database_url, "TDMR_BROKER_URL": broker_url} if database_url else {}
        urls["TDMR_STORAGE_URL"] = (tmp_path / "blobs").as_uri()
        stack = Stack(tmp_path / "stack", urls | options, one_home=not database_url)
        stacks.append(stack)
        record_property("stack", "production" if database_url else "embedded")
        return stack

    try:
        yield make
    finally:
        for stack in stacks:
            sys.stdout.write(stack.logs())  # shown when the test fails
            stack.close()


@pytest.fixture
def production(make_stack: Callable[..., Stack], postgres: Postgres, own_redis: Redis) -> Iterator[Stack]:
    """Postgres and Redis. No process runs yet."""
    name = f"t_{uuid.uuid4().hex}"
    stack = make_stack(postgres.create_database(name), own_redis.url)
    yield stack
    stack.close()
    postgres.drop_database(name)


@pytest.fixture
def embedded(make_stack: Callable[..., Stack]) -> Stack:
    """SQLite and a broker of files. No process runs yet."""
    return make_stack()


@pytest.fixture(params=["production", "embedded"])
def stack(request: pytest.FixtureRequest) -> Stack:
    """Either of them."""
    stack: Stack = request.getfixturevalue(request.param)
    return stack


@pytest.fixture
def dataset(stack: Stack, prepared: Path) -> str:
    return stack.add_dataset(prepared)


@pytest.fixture
def stopwatch(record_property: Callable[[str, object], None]) -> Stopwatch:
    return Stopwatch(record_property)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of docs/faults.md."""
    lines = []
    for outcome in ("passed", "failed", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            name = report.nodeid.rpartition("::")[2]
            if (found := ROW.match(name)) and (report.when == "call" or outcome != "passed"):
                what, _, parameters = name[found.start(2) :].partition("[")
                details = re.sub("^(embedded|production)-?", "", parameters.removesuffix("]"))
                told = what.replace("_", " ") + (f": {details}" if details else "")
                seen = dict(report.user_properties)
                kind, seconds = seen.get("stack", "–"), seen.get("recovered", "–")
                lines.append((int(found[1]), f"| {int(found[1])} | {told} | {kind} | {outcome} | {seconds} |"))
    if not lines:
        return
    table = [
        "| row | fault | stack | outcome | s to recover |",
        "|---|---|---|---|---|",
        *(line for _, line in sorted(lines)),
    ]
    terminalreporter.write_sep("=", "faults")
    terminalreporter.write_line("\n".join(table))
