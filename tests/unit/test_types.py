"""The project passes the strictest checks, a user's own script too, and a mistake in that does not."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import code_blocks

pytestmark = pytest.mark.slow  # where `make lint` has not run before, mypy reads torch, pydantic and many others first

ROOT = Path(__file__).parents[2]
MYPY = (sys.executable, "-m", "mypy")

SCRIPT = """
import asyncio

from tdmr import AsyncTdmr, Guess, Job, JobEnded, Tdmr, models, problems

with Tdmr("http://127.0.0.1:8000", timeout=30) as client:
    data = client.datasets.create("photos/", progress=False)
    counts: dict[str, int] = data.counts or {}
    job: Job = client.jobs.create(
        dataset=data,
        teacher="resnet18.a1_in1k",
        student="resnet50",
        distill=models.DistillConfig(image_steps=1000),
        views={"hflip": False},
    )
    for update in job.stream():
        if update.type == "metrics":
            steps: list[int] = [point.step for point in update.points]
        elif update.type == "end":
            ended: str = update.job.state
    try:
        job.wait(timeout=3.5)
    except JobEnded as error:
        print(error.code, error.hint)
    guess: Guess = job.download("model/").predict("cat.jpg")
    shares: tuple[tuple[str, float], ...] = guess.ranking
    try:
        failed: list[str] = [one.id for one in client.jobs.list(state="failed")]
    except problems.RateLimited as problem:
        print(problem.retry_after)
    accuracy: float | None = job.metrics.get("student_accuracy")


async def use() -> None:
    async with AsyncTdmr() as client:
        async for one in client.jobs.list(limit=3):
            print((await one.refresh()).progress + 1.0)


asyncio.run(use())
"""


@pytest.fixture(scope="module")
def project() -> subprocess.CompletedProcess[str]:
    """mypy's verdict on the project. What it has read of the libraries is kept, which takes nearly all of its time."""
    pytest.importorskip("mypy")
    return subprocess.run(MYPY, cwd=ROOT, capture_output=True, text=True, check=False)


def check(script: Path, text: str) -> subprocess.CompletedProcess[str]:
    """mypy's verdict on a script that lies outside the project, by the project's own settings: they are as strict as
    mypy gets, and with others all would be read again."""
    script.write_text(text)
    return subprocess.run(
        [*MYPY, f"--config-file={ROOT / 'pyproject.toml'}", f"--cache-dir={ROOT / '.mypy_cache'}", script.name],
        cwd=script.parent,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_project(project: subprocess.CompletedProcess[str]) -> None:
    assert project.returncode == 0, project.stdout


@pytest.mark.usefixtures("project")
def test_a_users_script(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    done = check(script, SCRIPT)
    assert done.returncode == 0, done.stdout

    done = check(script, "\n".join(code_blocks((ROOT / "docs" / "client.md").read_text(), "python")))
    assert done.returncode == 0, done.stdout

    done = check(script, SCRIPT.replace("steps: list[int]", "steps: list[str]").replace("dataset=data", "data=7"))
    assert "expected List[str]" in done.stdout and 'Missing named argument "dataset"' in done.stdout
