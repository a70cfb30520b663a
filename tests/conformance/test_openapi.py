"""The service does what its OpenAPI document says and nothing else: Schemathesis asks, with all of its checks.

TDMR_CONFORMANCE_EXAMPLES=200 asks for more examples of each operation, and with -s the whole of its report is shown.
"""

import os
import subprocess
import sys
from pathlib import Path

import httpx
from pydantic import SecretStr

from app.db.engine import Store
from app.settings import Settings
from app.storage.blobs import Blobs
from tests.integration.access.test_tenants import objects_of
from tests.integration.conftest import Service
from tests.integration.guarding import OPERATOR, OPERATOR_KEY
from tests.support import served

HERE = Path(__file__).parent
EXAMPLES = os.environ.get("TDMR_CONFORMANCE_EXAMPLES", "5")
SECONDS = 240 + 30 * int(EXAMPLES)


def test_every_operation_keeps_to_the_document(settings: Settings, tmp_path: Path) -> None:
    settings = settings.model_copy(
        update={
            "api_key": SecretStr(OPERATOR_KEY),
            "rate_limit": 0,
            "max_upload_bytes": 100_000,
            "request_seconds": 60.0,  # a request may take as long as a busy machine needs
        }
    )
    with served(settings) as (host, port):
        address = f"http://{host}:{port}"
        store = Store(settings.database)
        with httpx.Client(base_url=address, headers=OPERATOR, timeout=60) as http:
            service = Service(http, store, Blobs(settings.storage), settings, tmp_path)
            service.register()
            ids = objects_of(service, http)
            spare = http.post("/v1/webhooks", json={"url": "https://hooks.example/spare"})
            ids["spare_webhook_id"] = spare.json()["id"]
            ids["spare_job_id"] = service.submit()
            ids["spare_dataset_id"] = service.ready_dataset()
            http.get("/openapi.json").raise_for_status()  # written now; Schemathesis waits 10 s for it
        store.close()
        command = [sys.executable, "-m", "schemathesis.cli", f"--config-file={HERE / 'schemathesis.toml'}", "run"]
        command += [f"{address}/openapi.json", "--checks=all", f"--max-examples={EXAMPLES}", "--seed=1", "--no-color"]
        environment = os.environ | {name.upper(): value for name, value in ids.items()}
        environment |= {"TDMR_KEY": OPERATOR_KEY, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(HERE)}
        ended = subprocess.run(
            command, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=SECONDS
        )
    sys.stdout.write(ended.stdout)
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    assert "Errors:" not in ended.stdout
