"""`tdmr models pull` and `tdmr predict`."""

from __future__ import annotations

from pathlib import Path

import click

from tdmr import Guess, Model, Tdmr
from tdmr.cli.common import print_json, print_table, with_client


@click.group()
def models() -> None:
    """What succeeded jobs have made."""


@models.command()
@click.argument("job")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder. [the job's id]")
@click.option("--student", help="Only this student's files, of a job with several.")
@with_client
def pull(client: Tdmr, job: str, out: Path | None, student: str | None, as_json: bool) -> None:
    """Download every file of JOB, each checked against its SHA-256.

    A download that was interrupted goes on when the same command is given again.

    \b
    tdmr models pull job_01JCZ7R2M4K6H8G0F1E3D5C7B9 --out model/
    """
    model = client.jobs.get(job).download(out or Path(job), student=student)
    if as_json:
        print_json({"folder": str(model.path), "classes": model.classes, "metrics": model.metrics})
    else:
        click.echo(model.path)


@click.command()
@click.argument("model")
@click.argument("images", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False), metavar="IMAGE…")
@click.option("--top", type=click.IntRange(min=1), default=3, show_default=True, help="So many classes.")
@click.option("--student", help="Which one, of a job with several.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def predict(model: str, images: tuple[str, ...], top: int, student: str | None, as_json: bool) -> None:
    """Classify images with MODEL: a downloaded folder, on this machine, or a job, on the service.

    \b
    tdmr predict model/ cat.jpg dog.jpg
    tdmr predict job_01JCZ7R2M4K6H8G0F1E3D5C7B9 cat.jpg
    """
    guesses = _here(Path(model), images, top, student) if Path(model).is_dir() else _there(model, images, top, student)
    if as_json:
        shown = [
            {"image": image, "predictions": [{"class": name, "probability": share} for name, share in guess]}
            for image, guess in guesses
        ]
        print_json(shown)
        return
    rows = ((image, *(f"{name} {share:.1%}" for name, share in guess)) for image, guess in guesses)
    print_table(("image", *(f"{place + 1}." for place in range(top))), rows)


def _here(
    folder: Path, images: tuple[str, ...], top: int, student: str | None
) -> list[tuple[str, tuple[tuple[str, float], ...]]]:
    model = Model(folder, student)
    guesses: list[Guess] = model.predict_all(images, top_k=top)
    return [(image, guess.ranking) for image, guess in zip(images, guesses, strict=True)]


def _there(
    job: str, images: tuple[str, ...], top: int, student: str | None
) -> list[tuple[str, tuple[tuple[str, float], ...]]]:
    with Tdmr() as client:
        answers = [client.jobs.predict(job, image, top_k=top, student=student) for image in images]
    rankings = (tuple((one.name, one.probability) for one in answer.predictions) for answer in answers)
    return list(zip(images, rankings, strict=True))
