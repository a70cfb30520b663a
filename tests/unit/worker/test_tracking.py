"""What a worker needs to log jobs, and what it hands to the process that does."""

import sys
import threading
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.db.engine import Store
from app.queue import DATASETS_QUEUE
from app.settings import Settings
from worker.__main__ import serve
from worker.tracking.tracker import MLFLOW, Tracker


def test_an_import_worker_without_mlflow_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TDMR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TDMR_MLFLOW_URI", "http://ann:5ecret@mlflow.example")
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(SystemExit, match=r"MLflow is not installed here\. .* 'tdmr\[mlflow\]'") as left:
        serve(DATASETS_QUEUE)
    assert "5ecret" not in str(left.value)
    assert not (tmp_path / "home").exists()


def test_the_process_is_told_how_to_reach_storage_and_server_and_no_more(tmp_path: Path) -> None:
    own = {
        "PATH": "/bin",
        "TDMR_DATABASE_URL": "postgresql://u:p@h/d",
        "TDMR_API_KEY": "k",
        "AWS_SECRET_ACCESS_KEY": "a",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
        "MLFLOW_TRACKING_PASSWORD": "of another",
    }
    settings = Settings(home=tmp_path, mlflow_uri=SecretStr("https://ann:5ecret@mlflow.example"))
    server = settings.tracking_server
    assert server is not None
    store = Store(settings.database)
    tracker = Tracker(settings, server, store, threading.Event(), environment=own)
    given = tracker.environment
    store.close()
    assert given["TDMR_STORAGE_URL"] == settings.storage
    assert given["TDMR_MLFLOW_URI"] == "https://mlflow.example"
    assert (given["MLFLOW_TRACKING_USERNAME"], given["MLFLOW_TRACKING_PASSWORD"]) == ("ann", "5ecret")
    assert {name for name in given if name.startswith("TDMR_")} == {
        *("TDMR_STORAGE_URL", "TDMR_MLFLOW_URI", "TDMR_LOG_LEVEL"),
    }
    assert (given["PATH"], given["AWS_SECRET_ACCESS_KEY"], given["MLFLOW_HTTP_REQUEST_TIMEOUT"]) == ("/bin", "a", "5")
    assert given["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == MLFLOW["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
