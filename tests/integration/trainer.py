# ruff: noqa: T201 (printing is its task)
"""A child that stands in the place of the training command: no network is trained, everything else is as there.

python trainer.py BEHAVIOUR SPEC.json DATA_DIR OUT_DIR --runtime RUNTIME.json

The behaviour `obeys FOLDER` takes steps with checkpoints, resumes, and half way does what files in FOLDER say:
    hold     waits while the file is there, if the attempt's epoch stands in it
    signal   ends itself with the signal in it, once: the file goes first
    failure  gives up with the failure in it
    say      prints the lines in it, while it waits
"""

import hashlib
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from app.domain.files import replaced_atomically
from app.domain.runtime import RuntimeConfig

STEPS = 20
behaviour, spec_path, data, out = sys.argv[1], *map(Path, sys.argv[2:5])
runtime = RuntimeConfig.read(Path(sys.argv[6]), {})
out.mkdir(exist_ok=True)


def say(**line: object) -> None:
    print(json.dumps(line), flush=True)


def write_student(folder: str, student: bytes) -> dict[str, object]:
    """The student and its evaluation; returns the manifest's entry of the former."""
    (out / folder).mkdir(exist_ok=True)
    (out / folder / "student.onnx").write_bytes(student)
    (out / folder / "evaluation.json").write_text(json.dumps({"accuracy": 0.75}))
    return {
        "name": f"{folder}student.onnx",
        "bytes": len(student),
        "media_type": "application/octet-stream",
        "sha256": hashlib.sha256(b"other bytes" if behaviour == "lies" else student).hexdigest(),
    }


def write_results(student: bytes) -> None:
    spec = json.loads(spec_path.read_text())
    folders = [f"{name}/" for name in spec["students"] or ()]
    manifest = {
        "classes": ["0", "1"],
        "preprocessing": {"resize_short_side": 8, "center_crop": 8, "interpolation": "bilinear"}
        | {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
        "spec": spec,
        "spec_fingerprint": "f" * 64,
        "seed": 0,
        "student": {"architecture": "none"},
        "teacher": None,
        "dataset": {"images": len(json.loads((data / "index.json").read_text())["samples"])},
        "versions": {},
        "device": runtime.device,
        "metrics": {"test_accuracy": 0.75},
        "seconds": {},
        "parity": {},
        "choice": choice_for(spec["constraints"], folders),
        "files": [write_student(folder, student) for folder in folders or [""]],
    }
    (out / "manifest.json").write_text(json.dumps(manifest))


def choice_for(constraints: dict[str, object] | None, folders: list[str]) -> dict[str, object] | None:
    if constraints is None:
        return None
    said = {"met": True, "summary": "It is chosen.", "student": "none", "file": f"{(folders or [''])[0]}student.onnx"}
    return {**said, "accuracy": 0.75, "latency_ms": 1.5, "bytes": 11, "constraints": constraints}


def stop(*_: object) -> None:
    (out / "checkpoint").write_text("half way")
    say(type="event", code="checkpoint", message="A checkpoint was written.")
    sys.exit(75)


def held(folder: Path) -> list[str]:
    """The attempts that wait half way."""
    try:
        return (folder / "hold").read_text().split()
    except FileNotFoundError:  # let go
        return []


def repeat(folder: Path, said: int) -> int:
    """Print the lines of FOLDER/say behind the first `said`; returns how many there are."""
    if not (folder / "say").exists():
        return said
    whole = (folder / "say").read_text().rpartition("\n")[0]
    lines = whole.splitlines()
    for line in lines[said:]:
        print(line, flush=True)
    return len(lines)


def obey(folder: Path) -> None:
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    checkpoint, epoch = out / "checkpoints" / "steps.ckpt", (out.parent / "attempt").read_text()
    checkpoint.parent.mkdir(exist_ok=True)
    begin = int(checkpoint.read_text()) if checkpoint.is_file() else 0
    if begin:
        say(type="event", code="resumed", message=f"Resumed at step {begin} from a checkpoint.")
    for step in range(begin + 1, STEPS + 1):
        with replaced_atomically(checkpoint) as temporary:
            temporary.write_text(str(step))
        say(type="progress", stage="distill", progress=0.25 + 0.7 * step / STEPS)
        say(type="metric", stage="distill", step=step, values={"loss": 1 / step})
        if step == STEPS // 2:
            (out / "half way").touch()
            said = 0
            while not stopped and epoch in held(folder):
                said = repeat(folder, said)
                time.sleep(0.02)
            if (folder / "failure").exists():
                print((folder / "failure").read_text(), flush=True)
                sys.exit(1)
            if (folder / "signal").exists():
                number = int((folder / "signal").read_text())
                (folder / "signal").unlink()
                os.kill(os.getpid(), number)
        if stopped:
            sys.exit(75)


(out / "pid").write_text(str(os.getpid()))
say(type="stage", stage="prepare")
say(type="event", level="warning", code="batch_clamped", message="The batch was clamped.")
if behaviour == "fails":
    print("Traceback: /secret/path", file=sys.stderr)
    say(type="failure", code="model_not_buildable", detail="It cannot be built.", hint="Take another.")
    sys.exit(1)
if behaviour == "crashes":
    print("Traceback: /secret/path", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)
if behaviour == "says nothing":
    sys.exit(0)
say(type="speed", work="decode", amount=0.25)
say(type="speed", work="train", subject="test_vit", size=160, how="tdmr muon 64", amount=0.001)
say(type="stage", stage="reprogram")
say(type="progress", stage="reprogram", progress=0.25, eta_seconds=30.0)
say(type="metric", stage="reprogram", step=10, values={"loss": 2.0})
print("not a line of ours", flush=True)
if behaviour == "chatters":
    print("neither is this\n" * 20, flush=True)
if behaviour == "loses its folder":
    shutil.rmtree(out.parent)
    say(type="done", metrics={"test_accuracy": 0.75})
    sys.exit(0)
if behaviour == "loses its data":
    next(path for path in data.rglob("*") if path.is_file()).unlink()
    say(type="failure", code="local_files_lost", detail="They are gone.")
    sys.exit(1)
say(type="stage", stage="distill")
if behaviour == "waits" and not (out / "checkpoint").exists():
    signal.signal(signal.SIGTERM, stop)
    (out / "waiting").touch()
    time.sleep(600)
if behaviour == "is stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (out / "waiting").touch()
    time.sleep(600)
if behaviour == "waits for the test":
    (out / "waiting").touch()
    while not (out / "go").exists():
        time.sleep(0.01)
if behaviour.startswith("obeys "):
    obey(Path(behaviour.removeprefix("obeys ")))
say(type="metric", stage="distill", step=10, values={"loss": 1.0, "accuracy": 0.5})
say(type="metric", stage="distill", step=20, values={"loss": 0.5, "accuracy": 0.7})
write_results(b"the student")
say(type="progress", stage="export", progress=1.0)
say(type="done", metrics={"test_accuracy": 0.75})
