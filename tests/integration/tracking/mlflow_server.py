"""A real tracking server of MLflow's, behind a door that can be shut, with a user name and a password.

Run as a script it is the server: `python mlflow_server.py FOLDER`, which says its port once it answers.
"""

import base64
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

USER, PASSWORD = "ann-of-mlops", "5ecret/of@mine"
TOO_LARGE = "too_large.svg"
"""A file that is not let in."""
START_SECONDS = 240


@dataclass
class Door:
    """Passes connections on while it is open. Shut, it refuses them; while it hangs, it takes them and says nothing."""

    inside: int
    port: int = 0
    hangs: bool = False
    _listener: socket.socket | None = None
    _open: list[socket.socket] = field(default_factory=list)

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=50)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        while self._open:
            with suppress(OSError):
                self._open.pop().close()

    def _listen(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                outside, _ = listener.accept()
                self._open.append(outside)
                if not self.hangs:
                    inside = socket.create_connection(("127.0.0.1", self.inside))
                    for one, other in ((outside, inside), (inside, outside)):
                        threading.Thread(target=_pass_on, args=(one, other), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)


@dataclass(frozen=True)
class MLflowServer:
    """A running server, and what it keeps."""

    folder: Path
    door: Door

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.door.port}"

    @property
    def uri(self) -> str:
        """As an operator names it."""
        return f"http://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{self.door.port}"

    def runs(self, experiment: str) -> Sequence[Any]:
        """Read past the server, in its database."""
        client = self._client()
        found = client.get_experiment_by_name(experiment)
        return [] if found is None else client.search_runs([found.experiment_id])

    def history(self, run: Any, metric: str) -> list[tuple[int, float]]:
        points = self._client().get_metric_history(run.info.run_id, metric)
        return sorted((point.step, point.value) for point in points)

    def files(self, run: Any) -> dict[str, bytes]:
        folder = self.folder / "files" / run.info.experiment_id / run.info.run_id / "artifacts"
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def _client(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(_database(self.folder))


@contextmanager
def running(folder: Path) -> Iterator[MLflowServer]:
    log = folder / "log"
    with log.open("wb") as errors:
        command = [sys.executable, __file__, str(folder)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
    killer = threading.Timer(START_SECONDS, process.kill)
    killer.start()
    assert process.stdout is not None
    line = process.stdout.readline()
    killer.cancel()
    try:
        assert line, log.read_text()
        door = Door(int(line))
        door.open()
        yield MLflowServer(folder, door)
        door.shut()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _database(folder: Path) -> str:
    return f"sqlite:///{folder / 'mlflow.db'}"


def _serve(folder: Path) -> None:
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["_MLFLOW_SERVER_FILE_STORE"] = _database(folder)
    os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = "mlflow-artifacts:/"
    os.environ["_MLFLOW_SERVER_ARTIFACT_DESTINATION"] = str(folder / "files")
    os.environ["_MLFLOW_SERVER_SERVE_ARTIFACTS"] = "true"
    from mlflow import MlflowClient
    from mlflow.server import app
    from werkzeug.serving import make_server

    MlflowClient(_database(folder)).search_experiments()  # makes the tables
    expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    def guarded(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("HTTP_AUTHORIZATION") != expected:
            start("401 Unauthorized", [("Content-Type", "text/plain")])
            return [b"You are not authenticated."]
        if environ["PATH_INFO"].endswith(TOO_LARGE):  # as a proxy in front of it would say
            start("413 Content Too Large", [("Content-Type", "text/html")])
            return [b"<h1>Too large</h1>"]
        answer: Iterable[bytes] = app(environ, start)
        return answer

    server = make_server("127.0.0.1", 0, guarded, threaded=True)
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
