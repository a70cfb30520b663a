"""`tdmr datasets`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tdmr import Tdmr, models
from tdmr.cli.common import confirmed, print_facts, print_json, print_table, why, with_client, yes_option
from tdmr.cli.reading import cleared, reading_options
from tdmr.progress import size


@click.group()
def datasets() -> None:
    """Upload images, read what was found in them, delete them."""


@datasets.command()
@click.argument("source")
@click.option("--name", help="What it is called. [the name of the folder or file]")
@click.option("--no-wait", is_flag=True, help="Do not wait until every file has been checked.")
@click.option("--relay", is_flag=True, help="Read an address here and upload it; else the service fetches it.")
@reading_options
@with_client
def push(
    client: Tdmr, source: str, name: str | None, no_wait: bool, relay: bool, as_json: bool, reading: dict[str, Any]
) -> None:
    """Upload SOURCE: a folder, an archive (zip, tar, tar.gz, tar.zst, parquet) or the address of one.

    An upload that was interrupted goes on when the same command is given again. The service fetches an address itself:
    https, or s3 in a bucket that its operator has opened. The id is printed. Where it is not clear which classes there
    are, you are asked; a script is told what is possible, and `tdmr datasets choose` or --layout says what is meant.

    \b
    tdmr datasets push photos/
    tdmr datasets push https://example.com/photos.zip
    DATASET=$(tdmr datasets push photos.zip)
    """
    dataset = cleared(
        client, lambda: client.datasets.create(source, name=name, wait=not no_wait, relay=relay, **reading)
    )
    if as_json:
        print_json(dataset)
    else:
        click.echo(dataset.id)


@datasets.command()
@click.argument("dataset")
@click.argument("layout")
@with_client
def choose(client: Tdmr, dataset: str, layout: str, as_json: bool) -> None:
    """Say how a data set is meant whose classes are not clear: LAYOUT is one of those that `show` lists.

    \b
    tdmr datasets choose ds_01JCZ7Q5W3N0R8V6T4X2Y1A9BC folders:2
    """
    found = client.datasets.get(dataset).choose(layout, progress=True)
    if as_json:
        print_json(found)
    else:
        click.echo(found.id)


@datasets.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
@with_client
def list_(client: Tdmr, limit: int, as_json: bool) -> None:
    """List data sets, newest first."""
    found = client.datasets.list(limit=limit).to_list()
    if as_json:
        print_json(found)
        return
    rows = ((d.id, d.name, d.state, d.images, d.class_count, size(d.bytes), f"{d.created_at:%F %H:%M}") for d in found)
    print_table(("id", "name", "state", "images", "classes", "size", "uploaded"), rows, limit)


@datasets.command()
@click.argument("dataset")
@with_client
def show(client: Tdmr, dataset: str, as_json: bool) -> None:
    """Show a data set's state, how it was read, its counts and classes."""
    found = client.datasets.get(dataset)
    if as_json:
        print_json(found)
        return
    classes = found.classes or []
    more = f" and {(found.class_count or 0) - 20} more" if len(classes) > 20 else ""
    print_facts([
        ("id", found.id),
        ("name", found.name),
        ("state", found.state),
        ("rejected", why(found.error)),
        ("read as", found.layout.sentence if found.layout else None),
        ("images", ", ".join(f"{count:,} {split}" for split, count in (found.counts or {}).items())),
        ("classes", found.class_count),
        ("named", ", ".join(classes[:20]) + more),
        ("size", size(found.bytes)),
        ("sha256", found.sha256),
        ("uploaded", f"{found.created_at:%F %H:%M}"),
    ])  # fmt: skip


@datasets.command()
@click.argument("dataset")
@click.option("--html", "html", type=click.Path(dir_okay=False, path_type=Path), help="Write the page with thumbnails.")
@with_client
def report(client: Tdmr, dataset: str, html: Path | None, as_json: bool) -> None:
    """Show what the import found: splits, skipped files, duplicates, advice.

    \b
    tdmr datasets report ds_01JCZ7Q5W3N0R8V6T4X2Y1A9BC
    tdmr datasets report ds_01JCZ7Q5W3N0R8V6T4X2Y1A9BC --html report.html
    """
    if html is not None:
        html.write_text(client.datasets.report_html(dataset), encoding="utf-8")
        click.echo(f"Written to {html}.", err=True)
        return
    found = client.datasets.report(dataset)
    if as_json:
        print_json(found)
        return
    _tell(found)


def _tell(found: models.DatasetReport) -> None:
    print_facts([
        ("images", f"{found.images:,}"),
        ("splits", ", ".join(f"{count:,} {split}" for split, count in found.totals.items())),
        ("skipped", found.skipped_total),
        ("copies", found.duplicates_total),
        ("nearly the same", found.near_duplicates_total),
    ])  # fmt: skip
    for warning in found.warnings:
        click.echo(f"! {warning}")
    for skipped in found.skipped[:20]:
        click.echo(f"  {skipped.path}: {skipped.reason}")


@datasets.command()
@click.argument("ids", nargs=-1, required=True, metavar="DATASET…")
@yes_option
@with_client
def rm(client: Tdmr, ids: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Delete data sets with their files. Jobs that have ended and their students stay."""
    if not confirmed(f"Delete {', '.join(ids)}?", yes=yes):
        return
    for dataset in ids:
        client.datasets.delete(dataset)
    if as_json:
        print_json({"deleted": list(ids)})
