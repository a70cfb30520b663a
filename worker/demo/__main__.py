"""`tdmr demo`: handwritten digits with two labels a class, from the upload to a checked download."""

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from app.demo.digits import write_digits_zip
from app.demo.spec import IMAGE_SIZE, TEACHER, demo_spec
from tdmr import Job, Tdmr, TdmrError, models, problems
from worker.demo.service import POLL_SECONDS, START_SECONDS, DemoError, running_service

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
    except (DemoError, TdmrError) as error:
        console.print(f"[bold red]The demo stopped.[/] {error}")
        return 1
    except KeyboardInterrupt:
        console.print("Stopped, and the service with it.")
        return 130


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Returns the exit status: 0 when every downloaded file agrees with what was trained."""
    began = time.monotonic()
    out: Path = arguments.out
    # a home of its own: the demo must not meet the jobs of a service that someone uses
    home = out / "home"
    out.mkdir(parents=True, exist_ok=True)
    for folder in (*(out / method for method in METHODS), home):
        shutil.rmtree(folder, ignore_errors=True)
    archive = out / "digits.zip"
    write_digits_zip(archive, labels_per_class=arguments.labels_per_class, seed=arguments.seed, side=IMAGE_SIZE)
    console.print(f"[bold]1[/] Starting the service; its log is {out / 'service.log'}")
    with running_service(home.resolve(), out / "service.log") as url, Tdmr(url) as client:
        console.print(f"  It listens on {url}: open it in a browser to look on")
        wait_for_worker(client)
        console.print(f"[bold]2[/] Uploading 1,797 handwritten digits, {arguments.labels_per_class} labels a class")
        dataset = client.datasets.create(archive, progress=False)
        console.print("  " + ", ".join(f"{count:,} {split}" for split, count in (dataset.counts or {}).items()))
        console.print("[bold]3[/] Two jobs: the same student, distilled and from scratch")
        jobs = {
            method: client.jobs.submit(
                demo_spec(method, arguments.teacher, arguments.seed) | {"dataset_id": dataset.id}
            )
            for method in METHODS
        }
        watch(jobs, console)
        console.print(f"[bold]4[/] Downloading the students and checking the files in {out} on the test images")
        for method, job in jobs.items():
            job.download(out / method, progress=False)
        reports = {method: check(out / method, archive) for method in METHODS}
        evaluations = {method: job.evaluation() for method, job in jobs.items()}
    console.print(results(evaluations, arguments.teacher))
    console.print(files(reports))
    gain = _top1(evaluations["tdmr"]) - _top1(evaluations["scratch"])
    console.print(f"Distilled, the student gains [bold]{100 * gain:+.1f} points[/] over the same one from scratch.")
    console.print(f"Its model card: {out / 'tdmr' / 'model_card.html'}")
    console.print(f"Both jobs on pages: TDMR_HOME={home} {Path(sys.executable).parent / 'tdmr'} up", soft_wrap=True)
    console.print(f"{time.monotonic() - began:.0f} s in all. The service is stopped; `make up` starts one to stay.")
    return 0 if all(report["ok"] for report in reports.values()) else 1


def wait_for_worker(client: Tdmr) -> None:
    """Until a worker has said what it can build."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            client.students.list(limit=1).to_list()
        except problems.NoWorkerYet as error:  # which the client has tried again for a while
            if time.monotonic() > deadline:
                raise DemoError("No worker has announced itself; see the service's log.") from error
        else:
            return


def watch(jobs: Mapping[str, Job], console: Console) -> None:
    """Follow the jobs to their end, with bars on a terminal and a line per stage elsewhere.

    Raises:
        JobEnded: one has failed.
    """
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
        while not all(job.has_ended for job in jobs.values()):
            time.sleep(POLL_SECONDS)
            for method, job in jobs.items():
                job.refresh().check()
                is_running = job.state == "running"
                status = (job.stage or "starting") if is_running else job.state
                eta = "" if not is_running or job.eta_seconds is None else f"{job.eta_seconds:.0f} s left"
                so_far = _so_far(job.metrics)
                progress.update(bars[method], completed=job.progress, stage=status, so_far=so_far, eta=eta)
                if not console.is_terminal and seen.get(method) != status:
                    seen[method] = status
                    console.print(f"  {METHODS[method]}: {status} {so_far}".rstrip())


def check(folder: Path, archive: Path) -> dict[str, Any]:
    """Run every downloaded file on the test images, in a process of its own that knows nothing of the service."""
    command = [sys.executable, "-m", "worker.verify", str(folder), str(archive), "--split=test", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout:
        raise DemoError(f"The downloaded files could not be checked: {done.stderr.strip().splitlines()[-1]}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def results(evaluations: Mapping[str, models.Evaluation], teacher: str) -> Table:
    """Everybody on the same test images."""
    learnt, scratch = evaluations["tdmr"], evaluations["scratch"]
    table = Table(title=f"Accuracy on {learnt.images} test images", title_justify="left")
    table.add_column("who")
    table.add_column("top-1", justify="right")
    table.add_column("95 % interval", justify="right")
    table.add_column("what it is")
    spec = demo_spec("tdmr")
    what = f"{spec['student']}, {spec['distill']['image_steps']:,} image steps"
    rows: Sequence[tuple[str, models.PredictorScores | None, str]] = (
        ("teacher, linear probe", learnt.probe, f"{teacher}, frozen"),
        ("teacher, reprogrammed", learnt.teacher, "the same, in the proxy space"),
        ("[bold]student, TDMR[/]", learnt.student, what),
        ("student, from scratch", scratch.student, what),
    )
    for who, scores, description in rows:
        if scores is not None:
            low, high = scores.top1_interval
            table.add_row(who, f"{scores.top1:.1%}", f"{low:.1%} – {high:.1%}", description)
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


def _so_far(metrics: Mapping[str, float]) -> str:
    for name, words in (("student_accuracy", "test"), ("val_accuracy", "validation")):
        if name in metrics:
            return f"{words} accuracy {metrics[name]:.1%}"
    if "teacher_agreement" in metrics:
        return f"agrees with teacher {metrics['teacher_agreement']:.1%}"
    return ""


def _top1(evaluation: models.Evaluation) -> float:
    assert evaluation.student is not None, "only `probe` trains none"
    return evaluation.student.top1


if __name__ == "__main__":
    sys.exit(main())
