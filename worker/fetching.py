"""How the archive of an import comes into its worker's folder: from the storage, or from its address.

What comes from an address is stored first. Where that, or what was uploaded, is a table of addresses, an archive of the
images that lie there takes its place; the table is read in a child, since it is hostile until shown otherwise.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from sqlalchemy.orm import Session

from app.domain.address_tables import HEAD_BYTES, may_hold_addresses, table_name
from app.domain.dataset import ImportResult
from app.domain.failpoints import failpoint
from app.domain.sources import is_s3, shown_url
from app.ingest.limits import Limits
from app.outbound import Outbound
from app.services import dataset_leases
from app.services.dataset_leases import DatasetClaim
from app.settings import Settings
from app.storage.blobs import Blobs
from app.storage.keys import fetched_key
from app.storage.published import fetch
from worker.downloads.bucket import BucketSource
from worker.downloads.download import PAUSES, Bounds, Download, Fetched
from worker.downloads.images import PAUSES as IMAGE_PAUSES
from worker.downloads.images import ImageBounds, Images
from worker.downloads.part import Source
from worker.downloads.table import pack, read_addresses
from worker.downloads.web import WebSource
from worker.lease import Lease, LeaseLost
from worker.scratch import download_folder, images_folder, remove

DOWNLOAD_SHARE = 0.5
"""Of the progress of an import that begins with a download."""
IMAGES_SHARE = 0.8
"""Of one whose images are fetched one by one, a download before that included."""
_RESERVED_AT_ONCE = 64 * 2**20
"""Bytes of images for which the tenant's quota is asked at a time."""

Listing = Callable[[Sequence[str]], ImportResult | Path]
"""Runs the import's process with these arguments."""

log = logging.getLogger(__name__)


class Fetching:
    """Of one claim."""

    progress = 0.0
    """Of the whole import, as far as it is known here."""
    share = 0.0
    """Of the progress: what is behind us once the archive is there."""

    def __init__(
        self,
        settings: Settings,
        blobs: Blobs,
        claim: DatasetClaim,
        lease: Lease,
        *,
        outbound: Outbound | None = None,
        pauses: Sequence[float] = PAUSES,
        image_pauses: Sequence[float] = IMAGE_PAUSES,
    ) -> None:
        """`outbound` and the pauses as those of `Importer`."""
        self._settings, self._blobs, self._claim, self._lease = settings, blobs, claim, lease
        self._outbound = outbound or Outbound(settings.destinations)
        self._pauses, self._image_pauses = pauses, image_pauses
        self._reserved = 0
        """Bytes of images that count towards the tenant's quota."""

    def run(self, archive: Path, listing: Listing) -> ImportResult | None:
        """Get the archive into the file `archive`. Returns why it cannot be imported, if that is known.

        Args:
            archive: the file to write.
            listing: lists the addresses of the table that is there; gives a rejection, or the file that names them.

        Raises:
            SourceUnavailable, DestinationRefused, BytesQuotaExceeded: a verdict, in words for the user.
            LeaseLost, WorkerStopping: as `Lease.check` does.
        """
        claim = self._claim
        if claim.source_url is not None:
            is_table = self._download(claim.source_url, archive)
        else:
            is_table = claim.may_be_table
            fetch(
                self._blobs,
                claim.upload_key,
                archive,
                what="the uploaded archive",
                hint="Upload it again.",
                sha256=claim.sha256,
            )
        return self._fetch_images(archive, listing) if is_table and self._settings.fetch_images else None

    def _download(self, url: str, archive: Path) -> bool:
        """Fetch the archive, store it and note that it is there, so that nobody has to fetch it again. Returns whether
        it may be a table of addresses."""
        settings, claim = self._settings, self._claim
        with download_folder(settings, claim.id, claim.epoch) as folder:
            download = Download(
                folder,
                self._source(url),
                self._bounds(self._pauses),
                check=lambda: self._while_downloading(download),
                admit=self._reserve,
                passes=lambda kind: kind == "text" and settings.fetch_images,
            )
            log.info("the archive is fetched from %s", shown_url(url))
            fetched = download.run()
            with fetched.path.open("rb") as file:
                is_table = may_hold_addresses(file.read(HEAD_BYTES))
            self._keep(fetched, fetched_key(claim.id, claim.epoch, is_table=is_table), archive)
            remove(folder)
        self.progress = self.share = DOWNLOAD_SHARE
        return is_table

    def _keep(self, fetched: Fetched, key: str, archive: Path) -> None:
        """Store an archive and note that it is there; it is the one that is imported."""
        claim, defaults = self._claim, self._settings.quotas
        self._blobs.put_file(key, fetched.path)
        failpoint("download_stored")
        self._held(lambda s: dataset_leases.keep_fetched(s, defaults, claim, key, fetched.bytes, fetched.sha256))
        failpoint("download_noted")
        fetched.path.replace(archive)

    def _fetch_images(self, archive: Path, listing: Listing) -> ImportResult | None:
        """Put an archive of the images that the table names in its place. Returns why it cannot be, if so."""
        settings, claim, name = self._settings, self._claim, table_name(self._claim.name)
        listed = listing([f"--addresses={name}", f"--max-images={settings.max_images}"])
        if isinstance(listed, ImportResult):
            return listed
        addresses = read_addresses(listed)
        with images_folder(settings, claim.id, claim.epoch) as folder:
            each = replace(self._bounds(self._image_pauses), bytes=Limits().max_file_bytes)
            bounds = ImageBounds(each, settings.max_upload_bytes, settings.fetch_minutes * 60)
            images = Images(folder, self._source, bounds, check=lambda: self._while_fetching(images, len(addresses)))
            log.info("%d images are fetched that a table names", len(addresses))
            images.run(addresses)
            log.info("%d of them could not be fetched", len(images.lost))
            packed = pack(folder / "packed", archive, name, addresses, images, self._lease.check)
            self._keep(packed, fetched_key(claim.id, claim.epoch), archive)
            remove(folder)
        self.progress = self.share = IMAGES_SHARE
        return None

    def _bounds(self, pauses: Sequence[float]) -> Bounds:
        settings = self._settings
        return Bounds(
            bytes=settings.max_upload_bytes,
            seconds=settings.fetch_minutes * 60,
            idle_seconds=settings.fetch_idle_seconds,
            bytes_per_second=settings.fetch_min_bytes_per_second,
            pauses=pauses,
        )

    def _source(self, url: str) -> Source:
        if is_s3(url):
            return BucketSource(self._settings.buckets, url)
        return WebSource(self._outbound, url, self._settings.fetch_idle_seconds)

    def _while_downloading(self, download: Download) -> None:
        self._lease.check()
        self.progress = DOWNLOAD_SHARE * download.progress

    def _while_fetching(self, images: Images, total: int) -> None:
        self._lease.check()
        self.progress = self.share + (IMAGES_SHARE - self.share) * images.done / max(1, total)
        if images.bytes >= self._reserved + _RESERVED_AT_ONCE:
            self._reserved = images.bytes
            self._reserve(self._reserved)

    def _reserve(self, size: int) -> None:
        defaults, claim = self._settings.quotas, self._claim
        self._held(lambda session: dataset_leases.reserve_bytes(session, defaults, claim, size))

    def _held(self, change: Callable[[Session], bool]) -> None:
        if not self._lease.write(change):
            raise LeaseLost("it was taken over, has ended or was deleted")
