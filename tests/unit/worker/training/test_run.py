import io
from collections.abc import Callable
from pathlib import Path

from app.domain.runtime import RuntimeConfig
from app.domain.spec import TrainingSpec
from worker.training.engine.reporter import Reporter
from worker.training.run import Run


def test_the_cache_lies_where_the_settings_say_and_otherwise_in_the_run_s_folder(
    spec: Callable[..., TrainingSpec], tmp_path: Path
) -> None:
    def run(runtime: RuntimeConfig) -> Run:
        return Run(spec(), tmp_path, tmp_path / "out", runtime, Reporter(io.StringIO()), lambda: False)

    own = run(RuntimeConfig()).cache
    assert (own.root, own.limit_bytes) == (tmp_path / "out" / "cache", 20_000_000_000)
    shared = run(RuntimeConfig(cache_dir=tmp_path / "shared", cache_gb=0.5)).cache
    assert (shared.root, shared.limit_bytes) == (tmp_path / "shared", 500_000_000)
