"""The service stays light."""

import subprocess
import sys


class TestImport:
    def test_brings_no_torch(self) -> None:
        heavy = "{'torch', 'torchvision', 'timm', 'onnx', 'onnxruntime', 'worker'}"
        script = f"import sys, app.main; print({heavy} & set(sys.modules))"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout == "set()\n"
