"""A model folder on its way to Hugging Face's hub: its own library against a hub on loopback."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from tdmr import Job, TdmrError
from tdmr.exports import Hub
from tests.integration.client import test_exports

store_url, job = test_exports.store_url, test_exports.job


class Handler(BaseHTTPRequestHandler):
    """As much of a hub as a push of small files asks for."""

    made: dict[str, Any]
    files: dict[str, bytes]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.endswith("/repos/create"):
            self.made |= json.loads(body)
            self.reply({"url": "https://huggingface.co/ann/cats", "id": "ann/cats"})
        elif "/preupload/" in self.path:
            files = [{**file, "uploadMode": "regular", "shouldIgnore": False} for file in json.loads(body)["files"]]
            self.reply({"files": files})
        elif self.path.endswith("/validate-yaml"):
            self.reply({"errors": [], "warnings": []})
        else:
            assert "/commit/" in self.path
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self.reply({"commitUrl": "https://huggingface.co/ann/cats/commit/1", "commitOid": "1", "success": True})

    def do_GET(self) -> None:
        self.reply({"id": "ann/cats", "siblings": [], "sha": "0", "name": "ann"})

    def reply(self, answer: Any) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, format: str, *arguments: object) -> None: ...


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Handler]]:
    handler = type("Bound", (Handler,), {"made": {}, "files": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.chdir(tmp_path)
    yield handler
    server.shutdown()
    server.server_close()


def test_makes_a_private_repository_with_the_whole_folder(job: Job, hub: type[Handler]) -> None:
    assert job.export(Hub("hub", push="ann/cats")).endswith("/ann/cats")

    assert (hub.made["name"], hub.made["organization"]) == ("cats", "ann")
    assert hub.made.get("visibility") == "private" or hub.made.get("private") is True  # a word of its versions each
    assert hub.files == {path.name: path.read_bytes() for path in Path("hub").iterdir()}
    assert b'create_model("hf-hub:ann/cats"' in hub.files["README.md"]


def test_says_that_the_folder_is_there_where_a_push_fails(job: Job, hub: type[Handler]) -> None:
    with pytest.raises(TdmrError, match="hub is written, but was not pushed to no/such/name"):
        job.export(Hub("hub", push="no/such/name"))
    assert Path("hub/config.json").is_file()
