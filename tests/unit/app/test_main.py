"""The service stays light."""

import subprocess
import sys

import pytest


class TestImport:
    @pytest.mark.parametrize(
        ("module", "heavy"),
        [
            ("app.main", {"torch", "torchvision", "timm", "onnx", "onnxruntime", "worker"}),
            ("app.cli", {"fastapi", "uvicorn", "app.main", "worker"}),  # each command would start as slowly as the API
        ],
    )
    def test_brings_nothing_heavy(self, module: str, heavy: set[str]) -> None:
        script = f"import sys, {module}; print({heavy} & set(sys.modules))"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout == "set()\n"
