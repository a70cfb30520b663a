"""Start the embedded service as a person would, on a free port, and stop it at the end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 120.0
STOP_SECONDS = 60.0
POLL_SECONDS = 0.2


class DemoError(Exception):
    """The demo cannot go on; the message is for the person in front of it."""


@contextmanager
def running_service(home: Path, log: Path) -> Iterator[str]:
    """The address of `tdmr up` in a home of its own, its log in `log`; stopped at the end."""
    environment = os.environ | {"TDMR_HOME": str(home)}
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "up", "--port=0"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield _wait_for_url(process, home / "service.json", log)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def _wait_for_url(process: "subprocess.Popen[bytes]", service_file: Path, log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DemoError(f"The service did not start. Its log, {log.name}, says why.")
        if service_file.is_file():
            return str(json.loads(service_file.read_text())["url"])
        time.sleep(POLL_SECONDS)
    raise DemoError(f"The service did not come up within {START_SECONDS:.0f} s. See its log, {log.name}.")
