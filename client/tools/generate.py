"""Write what the client has from elsewhere: models and errors from the service's OpenAPI document, the schema of
`job.yaml`, and the synchronous twin of the asynchronous client.

    python -m client.tools.generate            # from the repository's root
    python -m client.tools.generate --check    # writes nothing; the exit status is 1 if a file is not as it should be

A test runs the check, so the client cannot drift from the service.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from app.main import create_app
from app.settings import Settings
from client.tools import models, problems, twins

PACKAGE = Path(__file__).parents[1] / "src" / "tdmr"


def document() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as home:
        return create_app(Settings(home=Path(home))).openapi()


def generated(openapi: dict[str, Any]) -> dict[Path, str]:
    """What each generated file should say."""
    files = {
        PACKAGE / "models.py": models.render(openapi["components"]["schemas"]),
        PACKAGE / "problems.py": problems.render(openapi),
    }
    for source in sorted((PACKAGE / "_async").glob("*.py")):
        if source.name not in twins.WRITTEN_TWICE:
            files[PACKAGE / "_sync" / source.name] = twins.synchronous(source.read_text())
    schema = json.dumps(models.job_schema(openapi["components"]["schemas"]), indent=1, ensure_ascii=False)
    return _formatted(files) | {PACKAGE / "job.schema.json": schema + "\n"}


def _formatted(files: dict[Path, str]) -> dict[Path, str]:
    """As `make format` would leave them."""
    with tempfile.TemporaryDirectory() as folder:
        copies = {path: Path(folder) / path.relative_to(PACKAGE.parent) for path in files}
        for path, copy in copies.items():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(files[path])
        configured = ["--config", str(PACKAGE.parents[1] / "pyproject.toml"), "--no-cache"]
        for step in (["check", "--select=I", "--fix", "--quiet"], ["format", "--quiet"]):
            subprocess.run([sys.executable, "-m", "ruff", *step, *configured, "."], cwd=folder, check=True)
        return {path: copy.read_text() for path, copy in copies.items()}


def main() -> int:
    files = generated(document())
    stale = [path for path, text in files.items() if not path.is_file() or path.read_text() != text]
    if "--check" not in sys.argv[1:]:
        for path in stale:
            path.write_text(files[path])
    for path in stale:
        sys.stdout.write(f"{path.relative_to(PACKAGE.parents[2])}\n")
    return 1 if stale and "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
