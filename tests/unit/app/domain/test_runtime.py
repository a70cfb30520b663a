from pathlib import Path

import pytest

from app.domain.errors import TrainingFailed
from app.domain.runtime import RuntimeConfig


class TestFromEnvironment:
    def test_reads_a_variable_for_each_field(self) -> None:
        environment = {
            "TDMR_DEVICE": "cuda:1",
            "TDMR_PRECISION": "float32",
            "TDMR_CACHE_DIR": "/cache",
            "TDMR_CACHE_GB": "0.5",
            "TDMR_MODELS_DIR": "/models",
            "TDMR_HUB": "false",
            "TDMR_CHECKPOINT_SECONDS": "5",
            "TDMR_LOG_LEVEL": "debug",
        }
        assert RuntimeConfig.from_environment(environment) == RuntimeConfig(
            device="cuda:1",
            precision="float32",
            cache_dir=Path("/cache"),
            cache_gb=0.5,
            models_dir=Path("/models"),
            hub=False,
            checkpoint_seconds=5,
            log_level="debug",
        )

    def test_takes_the_default_where_a_variable_is_empty_or_absent(self) -> None:
        assert RuntimeConfig.from_environment({"TDMR_MODELS_DIR": "", "PATH": "/bin"}) == RuntimeConfig()

    def test_refuses_a_precision_that_there_is_not(self) -> None:
        with pytest.raises(TrainingFailed, match="TDMR_PRECISION is 'float8'") as refused:
            RuntimeConfig.from_environment({"TDMR_PRECISION": "float8"})
        assert "'float32'" in str(refused.value.hint)


class TestRead:
    def test_prefers_the_file_to_the_environment(self, tmp_path: Path) -> None:
        config = RuntimeConfig(cache_gb=3, cache_dir=tmp_path)
        (tmp_path / "runtime.json").write_text(config.model_dump_json())
        assert RuntimeConfig.read(tmp_path / "runtime.json", {"TDMR_CACHE_GB": "7"}) == config
        assert RuntimeConfig.read(None, {"TDMR_CACHE_GB": "7"}).cache_gb == 7

    def test_repeats_no_more_than_half_a_minute(self) -> None:
        assert RuntimeConfig(checkpoint_seconds=300).checkpoint_seconds == 30
