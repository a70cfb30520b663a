"""`tdmr prune`: delete what is old, and blobs that nothing names, now."""

import click

from app.cli.common import read_settings, reporting_outages
from app.db.engine import Store
from app.domain.errors import TdmrError
from app.services import orphans, retention
from app.settings import Settings
from app.storage.blobs import Blobs

_DAYS = click.FloatRange(min=0)


@click.command()
@click.option("--dry-run", is_flag=True, help="Delete nothing; say what would be deleted.")
@click.option("--job-days", type=_DAYS, help="Instead of TDMR_KEEP_JOB_DAYS; 0 keeps all.")
@click.option("--file-days", type=_DAYS, help="Instead of TDMR_KEEP_FILE_DAYS.")
@click.option("--event-days", type=_DAYS, help="Instead of TDMR_KEEP_EVENT_DAYS.")
@click.option("--curve-days", type=_DAYS, help="Instead of TDMR_KEEP_CURVE_DAYS.")
@click.option("--audit-days", type=_DAYS, help="Instead of TDMR_KEEP_AUDIT_DAYS.")
@click.option("--orphans/--no-orphans", "with_orphans", default=True, help="Look through the storage. [on]")
def prune(dry_run: bool, with_orphans: bool, **days: float | None) -> None:
    """Delete old jobs, files, events, curves and audit lines, and orphans in the storage.

    What is old, the settings TDMR_KEEP_…_DAYS say; workers delete that by themselves, a little at a time. Orphans are
    files in the storage that nothing in the database names and that are older than any upload can be. Only this command
    looks for them, since it has to list the whole storage. A job that has not ended, and what it needs, is never
    touched.
    """
    settings = read_settings(**{f"keep_{name}": value for name, value in days.items()})
    with reporting_outages(settings.database) as store:
        blobs = Blobs(settings.storage)
        try:
            _prune_old(settings, store, blobs, dry_run=dry_run)
            if with_orphans:
                _prune_orphans(settings, store, blobs, dry_run=dry_run)
        except TdmrError as problem:
            raise click.ClickException(problem.detail) from None
        except OSError as error:
            raise click.ClickException(f"The storage does not answer: {error}") from None
    if dry_run:
        click.echo("Nothing was deleted: --dry-run.")


def _prune_old(settings: Settings, store: Store, blobs: Blobs, *, dry_run: bool) -> None:
    gone: set[str] = set()
    for rule in retention.RULES:
        before = rule.before(settings)
        if before is None:
            click.echo(f"{rule.what}: all are kept (TDMR_{rule.setting.upper()} is 0)")
            continue
        ids = [one for one in retention.find_old(store, rule, before) if one not in gone]
        if rule is retention.WHOLE_JOBS:
            gone.update(ids)  # a dry run must not count again what goes with its job
        done, days = retention.prune(store, blobs, rule, before, ids, dry_run=dry_run), getattr(settings, rule.setting)
        _say(f"{rule.what} older than {days:g} days", done.count, done.bytes)


def _prune_orphans(settings: Settings, store: Store, blobs: Blobs, *, dry_run: bool) -> None:
    with store.read() as session:
        is_unused = orphans.is_unused(session)
    count = size = 0
    for found in orphans.find(store, blobs, orphans.safe_age(settings)):
        if found.orphans and is_unused:
            raise click.ClickException(
                "The storage has files, and the database has neither a job nor a data set. Is TDMR_DATABASE_URL the "
                "database that belongs to TDMR_STORAGE_URL? No orphan was deleted."
            )
        if not dry_run:
            orphans.remove(blobs, found.orphans)
        count, size = count + len(found.orphans), size + sum(blob.bytes for blob in found.orphans)
    _say("orphans in the storage", count, size)


def _say(what: str, count: int, size: int) -> None:
    click.echo(f"{what}: {count:,}" + (f" ({size:,} bytes)" if size else ""))
