"""The import: check every entry, decode every image once, lay out, report, pack."""

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath

from app.domain.dataset import DatasetReport, ImportResult, Reason
from app.domain.errors import DatasetRejected
from app.domain.layout import HOW_TO_LAY_OUT, Layout, assign, build_index, decode_labels, find_labels, is_junk
from app.ingest.archive import open_archive
from app.ingest.copies import draw_keys, find_alike, find_copies
from app.ingest.decoders import DIED, Decoders, Job, processes_for
from app.ingest.entry import Archive, Entry
from app.ingest.limits import Limits
from app.ingest.names import rejected
from app.ingest.picture import Picture, finish, inspect_image
from app.ingest.prepared import PREPARED_NAME, Packer, image_name
from app.ingest.preview import PREVIEW_NAME, choose_examples, listed_copies, make_preview
from app.ingest.report import make_report

REPORT_NAME = "report.json"
LOOKING_SHARE = 0.9
"""Of the import's time; the rest is packing."""
_NESTED = frozenset({".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar"})

OnProgress = Callable[[float], None]


def import_archive(
    archive: Path,
    out_dir: Path,
    *,
    seed: int = 0,
    limits: Limits = Limits(),  # noqa: B008 frozen
    processes: int | None = None,
    on_progress: OnProgress = lambda fraction: None,
) -> ImportResult:
    """Turn an uploaded archive into a prepared data set.

    Writes `out_dir/prepared.zip`, `out_dir/preview.json` and `out_dir/report.json`, or none of them when the archive is
    rejected. Holds a few files in memory at a time, whatever the archive's size, and about 400 bytes of each image.

    Args:
        archive: the uploaded file, hostile until shown otherwise.
        out_dir: made if missing.
        seed: for splits that the user did not give.
        limits: what the archive may ask of us.
        processes: that decode; None for as many as the machine has cores, and memory for the largest images.
        on_progress: called with the fraction that is done.

    Returns:
        The verdict; a rejection is one too and does not raise.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    processes = processes or processes_for(limits.max_image_pixels)
    try:
        with Decoders(limits.max_image_pixels, processes) as decoders:
            report = _Import(open_archive(archive, limits), out_dir, limits, decoders, on_progress).run(seed)
    except DatasetRejected as error:
        return ImportResult(code=error.code, detail=error.detail, hint=error.hint)
    (out_dir / REPORT_NAME).write_text(report.model_dump_json(indent=1), encoding="utf-8")
    return ImportResult(report=report)


class _Import:
    """One import, with what is known of each file after the first walk."""

    def __init__(
        self, archive: Archive, out_dir: Path, limits: Limits, decoders: Decoders, on_progress: OnProgress
    ) -> None:
        self._archive, self._out_dir = archive, out_dir
        self._limits, self._decoders, self._on_progress = limits, decoders, on_progress
        self._pictures: dict[str, Picture] = {}
        """By path: the usable images."""
        self._skipped: dict[str, Reason] = {}
        self._labels: dict[str, str] = {}
        """Path to text."""

    def run(self, seed: int) -> DatasetReport:
        """
        Raises:
            DatasetRejected: the archive cannot become a data set.
        """
        self._inspect()
        ids = {path: picture.id for path, picture in self._pictures.items()}
        alike = find_alike(self._pictures)
        keys = draw_keys(self._pictures, alike)
        layout = assign(
            ids,
            self._labels,
            seed,
            keys=keys,
            unreadable=self._skipped,
            max_classes=self._limits.max_classes,
            max_lines=self._limits.max_members,
        )
        copies = find_copies(layout, self._pictures, alike)
        examples = choose_examples(layout, ids)
        shown = {*chain.from_iterable(examples.values()), *listed_copies(copies)}
        with Packer(self._out_dir / PREPARED_NAME) as packer:
            names = self._names(layout)
            rewritten, thumbnails = self._store(packer, names, shown)
            index = build_index(layout, ids, names, rewritten)
            packer.add_index(index)
        preview = make_preview(examples, thumbnails)
        (self._out_dir / PREVIEW_NAME).write_text(preview.model_dump_json(), encoding="utf-8")
        return make_report(layout, index, self._pictures, copies, {**self._skipped, **layout.skipped})

    def _inspect(self) -> None:
        """Decode every file that may be an image, and read the files of labels."""
        entries = [entry for entry in self._archive.entries if not is_junk(entry.path)]
        if not entries:
            raise DatasetRejected("The archive holds no files.", hint=HOW_TO_LAY_OUT)
        labels = set(find_labels(entry.path for entry in entries))
        wanted = self._wanted(entries, labels)
        done = len(self._skipped)

        def images() -> Iterator[Job]:
            for entry, data in self._archive.walk(lambda entry: entry.path in wanted):
                if entry.path in labels:
                    self._labels[entry.path] = decode_labels(entry.path, data)
                else:
                    yield entry.path, data

        inspect = partial(inspect_image, max_pixels=self._limits.max_image_pixels)
        for path, found in self._decoders.map(inspect, images()):
            if isinstance(found, Picture):
                self._pictures[path] = found
            else:
                self._skipped[path] = found or Reason(DIED)
            done += 1
            self._on_progress(LOOKING_SHARE * done / len(entries))
        if not self._pictures:
            raise _no_image(self._skipped)

    def _wanted(self, entries: list[Entry], labels: set[str]) -> set[str]:
        """What is worth reading; the rest is skipped with its reason."""
        for entry in entries:
            if PurePosixPath(entry.path).suffix.lower() in _NESTED:
                self._skipped[entry.path] = Reason("an archive inside the archive is not opened")
            elif entry.size > self._limits.max_file_bytes:
                self._skipped[entry.path] = Reason(f"larger than {self._limits.max_file_bytes} bytes")
        too_large = sorted(labels & self._skipped.keys())
        if too_large:
            raise DatasetRejected(
                f"{too_large[0]} is larger than {self._limits.max_file_bytes} bytes.", hint="Split the data set."
            )
        return {entry.path for entry in entries} - self._skipped.keys()

    def _names(self, layout: Layout) -> dict[str, str]:
        """Path to the path in the prepared data set."""
        kept = [entry.path for entry in self._archive.entries if entry.path in layout.placements]
        return {path: image_name(number, self._pictures[path].suffix) for number, path in enumerate(kept, start=1)}

    def _store(
        self, packer: Packer, names: dict[str, str], shown: Collection[str]
    ) -> tuple[dict[str, str], dict[str, bytes]]:
        """Pack the images: plain ones with their bytes as they are, the others written anew.

        Args:
            names: of all images to pack.
            shown: those of which a thumbnail is wanted.

        Returns:
            The SHA-256 of those written anew, and the thumbnails, both by path.
        """
        done = 0

        def to_decode() -> Iterator[Job]:
            nonlocal done
            for entry, data in self._archive.walk(lambda entry: entry.path in names):
                plain = self._pictures[entry.path].plain
                if plain:
                    packer.add(names[entry.path], data)
                if not plain or entry.path in shown:
                    yield entry.path, data
                done += 1
                self._on_progress(LOOKING_SHARE + (1 - LOOKING_SHARE) * done / len(names))

        rewritten, thumbnails = {}, {}
        for path, finished in self._decoders.map(
            partial(finish, max_pixels=self._limits.max_image_pixels), to_decode()
        ):
            if finished is None:
                raise rejected(
                    path, f"was decoded once and not again: {DIED}", "Save it anew, smaller, or leave it out."
                )
            if finished.normal is not None:
                packer.add(names[path], finished.normal)
                rewritten[path] = hashlib.sha256(finished.normal).hexdigest()
            if path in shown:
                thumbnails[path] = finished.thumbnail
        return rewritten, thumbnails


def _no_image(skipped: dict[str, Reason]) -> DatasetRejected:
    reason = Counter(reason.kind for reason in skipped.values()).most_common(1)
    return DatasetRejected(
        "The archive holds no usable image" + (f"; the usual reason: {reason[0][0]}." if reason else "."),
        hint=HOW_TO_LAY_OUT,
    )
