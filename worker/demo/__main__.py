"""`tdmr demo`: handwritten digits with two labels a class, from the upload to a checked download."""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from app.demo.digits import write_digits_zip
from app.demo.spec import IMAGE_SIZE, TEACHER, demo_spec
from app.domain.states import JobState
from worker.demo.service import POLL_SECONDS, TERMINAL, Client, DemoError, running_service

METHODS = {"tdmr": "TDMR", "scratch": "from scratch"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="tdmr demo", description=__doc__)
    parser.add_argument("--teacher", default=TEACHER, help="a teacher from timm's hub instead of ours")
    parser.add_argument("--seed", type=int, default=0, help="fixes the data's split and the training")
    parser.add_argument("--labels-per-class", type=int, default=2, help="images of each class that keep their label")
    parser.add_argument("--out", type=Path, default=Path("demo-out"), help="folder for the data and the students")
    arguments = parser.parse_args()
    console = Console()
    try:
        return run(arguments, console)
    except DemoError as error:
        console.print(f"[bold red]The demo stopped.[/] {error}")
        return 1


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Returns the exit status: 0 when every downloaded file agrees with what was trained."""
    began = time.monotonic()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    for method in METHODS:
        shutil.rmtree(out / method, ignore_errors=True)
    archive = out / "digits.zip"
    write_digits_zip(archive, labels_per_class=arguments.labels_per_class, seed=arguments.seed, side=IMAGE_SIZE)
    console.print(f"[bold]1[/] Starting the service; its log is {out / 'service.log'}")
    # a home of its own: the demo must not meet the jobs of a service that someone uses
    with (
        tempfile.TemporaryDirectory(prefix="tdmr-demo-") as home,
        running_service(Path(home), out / "service.log") as client,
    ):
        console.print(f"  It listens on {client.url}")
        client.wait_for_worker()
        console.print(
            f"[bold]2[/] POST /v1/datasets: 1,797 handwritten digits, {arguments.labels_per_class} labels a class"
        )
        dataset = client.upload(archive)
        console.print("  " + ", ".join(f"{count:,} {split}" for split, count in dataset["counts"].items()))
        console.print("[bold]3[/] POST /v1/jobs, twice: the same student, distilled and from scratch")
        jobs = {
            method: client.submit(demo_spec(method, arguments.teacher, arguments.seed) | {"dataset_id": dataset["id"]})
            for method in METHODS
        }
        finished = watch(client, jobs, console)
        console.print("[bold]4[/] GET /v1/jobs/…/artifacts: the students")
        for method, job in finished.items():
            client.download(job["id"], out / method)
        console.print(f"[bold]5[/] Checking the files in {out} on the test images, as downloaded")
        reports = {method: check(out / method, archive) for method in METHODS}
        evaluations = {method: client.get(f"/v1/jobs/{job['id']}/evaluation") for method, job in finished.items()}
    console.print(results(evaluations, finished, arguments.teacher))
    console.print(files(reports))
    console.print(f"{time.monotonic() - began:.0f} s in all. The service is stopped; `make up` starts it to stay.")
    return 0 if all(report["ok"] for report in reports.values()) else 1


def watch(client: Client, jobs: dict[str, dict[str, Any]], console: Console) -> dict[str, dict[str, Any]]:
    """Follow the jobs to their end, with bars on a terminal and a line per stage elsewhere."""
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[stage]:<10}{task.fields[so_far]:<30}{task.fields[eta]}"),
    )
    with Progress(*columns, console=console) as progress:
        bars = {
            method: progress.add_task(f"{METHODS[method]:<12}", total=1.0, stage="", so_far="", eta="")
            for method in jobs
        }
        seen: dict[str, str] = {}
        while any(job["state"] not in TERMINAL for job in jobs.values()):
            time.sleep(POLL_SECONDS)
            for method in jobs:
                jobs[method] = job = client.get(f"/v1/jobs/{jobs[method]['id']}")
                status = job["stage"] or "starting" if job["state"] == JobState.RUNNING else job["state"]
                progress.update(
                    bars[method],
                    completed=job["progress"],
                    stage=status,
                    so_far=_so_far(job["metrics"]),
                    eta=_eta(job["eta_seconds"]) if job["state"] == JobState.RUNNING else "",
                )
                if job["state"] in TERMINAL - {JobState.SUCCEEDED}:
                    error = job["error"] or {"detail": f"The job ended as {job['state']}."}
                    raise DemoError(" ".join(filter(None, [error["detail"], error.get("hint")])))
                if not console.is_terminal and seen.get(method) != status:
                    seen[method] = status
                    console.print(f"  {METHODS[method]}: {status} {_so_far(job['metrics'])}")
    return jobs


def check(folder: Path, archive: Path) -> dict[str, Any]:
    """Run every downloaded file on the test images, in a process of its own that knows nothing of the service."""
    command = [sys.executable, "-m", "worker.verify", str(folder), str(archive), "--split=test", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout:
        raise DemoError(f"The downloaded files could not be checked: {done.stderr.strip().splitlines()[-1]}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def results(evaluations: dict[str, dict[str, Any]], jobs: dict[str, dict[str, Any]], teacher: str) -> Table:
    """Everybody on the same test images."""
    learnt, scratch = evaluations["tdmr"], evaluations["scratch"]
    table = Table(title=f"Accuracy on {learnt['images']} test images", title_justify="left")
    table.add_column("who")
    table.add_column("top-1", justify="right")
    table.add_column("95 % interval", justify="right")
    table.add_column("what it is")
    student = jobs["tdmr"]["spec"]["student"]
    steps = jobs["tdmr"]["spec"]["distill"]["image_steps"]
    rows: Sequence[tuple[str, dict[str, Any] | None, str]] = (
        ("teacher, linear probe", learnt["probe"], f"{teacher}, frozen"),
        ("teacher, reprogrammed", learnt["teacher"], "the same, in the proxy space"),
        ("[bold]student, TDMR[/]", learnt["student"], f"{student}, {steps:,} image steps"),
        ("student, from scratch", scratch["student"], f"{student}, {steps:,} image steps"),
    )
    for who, scores, what in rows:
        if scores is not None:
            low, high = scores["top1_interval"]
            table.add_row(who, f"{scores['top1']:.1%}", f"{low:.1%} – {high:.1%}", what)
    return table


def files(reports: dict[str, dict[str, Any]]) -> Table:
    """What was downloaded, and how it agrees with the PyTorch student."""
    table = Table(title="Downloaded files beside the PyTorch student, on the test images", title_justify="left")
    table.add_column("file", no_wrap=True)
    for header in ("bytes", "top-1", "agreement", "max |Δlogit|"):
        table.add_column(header, justify="right")
    table.add_column("")
    for method, report in reports.items():
        for file in report["files"]:
            if file["accuracy"] is not None:
                table.add_row(
                    f"{method}/{file['name']}",
                    f"{file['bytes']:,}",
                    f"{file['accuracy']:.1%}",
                    f"{file['top1_agreement']:.2%}",
                    f"{file['max_logit_difference']:.1e}",
                    file["problem"] or "ok",
                )
    return table


def _so_far(metrics: dict[str, float]) -> str:
    for name, words in (("student_accuracy", "test"), ("val_accuracy", "validation")):
        if name in metrics:
            return f"{words} accuracy {metrics[name]:.1%}"
    if "teacher_agreement" in metrics:
        return f"agrees with teacher {metrics['teacher_agreement']:.1%}"
    return ""


def _eta(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.0f} s left"


if __name__ == "__main__":
    sys.exit(main())
