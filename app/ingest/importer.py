"""The import: check every entry, understand the layout, decode every image once, report, pack."""

import hashlib
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path

from app.domain.dataset import DatasetReport, ImportOptions, ImportResult, Reason, Understanding
from app.domain.errors import DatasetRejected
from app.domain.layout import HOW_TO_LAY_OUT, Layout, arrange, build_index
from app.ingest.archive import open_archive
from app.ingest.copies import draw_keys, find_alike, find_copies
from app.ingest.decoders import DIED, Decoders, Job, processes_for
from app.ingest.entry import Archive
from app.ingest.limits import Limits
from app.ingest.listed import Listed, first_look
from app.ingest.losses import loss_warnings, rejection_notes
from app.ingest.names import rejected
from app.ingest.nested import with_nested
from app.ingest.picture import Picture, finish, inspect_image
from app.ingest.prepared import PREPARED_NAME, Packer, image_name
from app.ingest.preview import PREVIEW_NAME, choose_examples, listed_copies, make_preview
from app.ingest.report import make_report
from app.ingest.samples import sample_warnings, stretched_levels
from app.reading.choose import Choice, choose
from app.reading.context import Context
from app.reading.text import known_encoding
from app.reading.understanding import understood
from app.reading.words import folded

REPORT_NAME, QUESTION_NAME = "report.json", "question.json"
LOOKING_SHARE = 0.9
"""Of the import's time; the rest is packing."""

OnProgress = Callable[[float], None]


class NeedsAnswer(Exception):
    """Several readings of the archive are as likely, and give different classes."""

    def __init__(self, question: Understanding) -> None:
        super().__init__(question.sentence)
        self.question = question


def import_archive(
    archive: Path,
    out_dir: Path,
    *,
    seed: int = 0,
    limits: Limits = Limits(),  # noqa: B008 frozen
    processes: int | None = None,
    on_progress: OnProgress = lambda fraction: None,
    options: ImportOptions = ImportOptions(),  # noqa: B008 frozen
) -> ImportResult:
    """Turn an uploaded archive into a prepared data set.

    Writes `out_dir/prepared.zip`, `out_dir/preview.json` and `out_dir/report.json`; only `out_dir/question.json` where
    its owner has to choose a reading; and nothing where the archive is rejected. Holds a few files in memory at a time,
    whatever the archive's size, the tables that may tell labels, and about 400 bytes of each image.

    Args:
        archive: the uploaded file, hostile until shown otherwise.
        out_dir: made if missing.
        seed: for splits that the user did not give.
        limits: what the archive may ask of us.
        processes: that decode; None for as many as the machine has cores, and memory for the largest images.
        on_progress: called with the fraction that is done.
        options: what the archive's owner says about it.

    Returns:
        The verdict; a rejection is one too and does not raise.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    processes = processes or processes_for(limits.max_image_pixels)
    try:
        _check(options)
        with (
            tempfile.TemporaryDirectory(prefix="nested-", dir=out_dir) as scratch,
            Decoders(limits.max_image_pixels, processes) as decoders,
        ):
            opened = with_nested(
                open_archive(archive, limits, options.encoding, options.labels_column),
                archive.stat().st_size,
                limits,
                Path(scratch),
                options.labels_column,
                options.encoding,
            )
            report = _Import(opened, out_dir, limits, decoders, on_progress, options).run(seed)
    except DatasetRejected as error:
        return ImportResult(code=error.code, detail=error.detail, hint=error.hint)
    except NeedsAnswer as asked:
        (out_dir / QUESTION_NAME).write_text(asked.question.model_dump_json(indent=1), encoding="utf-8")
        return ImportResult(question=asked.question)
    (out_dir / REPORT_NAME).write_text(report.model_dump_json(indent=1), encoding="utf-8")
    return ImportResult(report=report)


class _Import:
    """One import, with what is known of each file after the first walk."""

    def __init__(
        self,
        archive: Archive,
        out_dir: Path,
        limits: Limits,
        decoders: Decoders,
        on_progress: OnProgress,
        options: ImportOptions,
    ) -> None:
        self._archive, self._out_dir = archive, out_dir
        self._limits, self._decoders, self._on_progress = limits, decoders, on_progress
        self._options = options
        self._pictures: dict[str, Picture] = {}
        """By path: the usable images."""
        self._skipped: dict[str, Reason] = {}
        self._levels: tuple[int, int] | None = None
        """That 16-bit images are stretched to."""

    def run(self, seed: int) -> DatasetReport:
        """
        Raises:
            DatasetRejected: the archive cannot become a data set.
            NeedsAnswer: it can become several.
        """
        if not self._archive.entries:
            raise DatasetRejected("The archive holds no files.", hint=HOW_TO_LAY_OUT)
        listed = first_look(self._archive, self._limits)
        self._skipped.update(listed.skipped)
        if not listed.entries and not listed.skipped:
            raise DatasetRejected("The archive holds no files.", hint=HOW_TO_LAY_OUT)
        choice, rejection = self._choose(listed)
        if choice is not None and choice.asks:
            raise NeedsAnswer(understood(choice, notes=self._archive.notes))
        self._inspect(listed)
        if choice is None:
            assert rejection is not None, "what is not read is rejected"
            raise DatasetRejected(" ".join([rejection.detail, *rejection_notes(listed)]), hint=rejection.hint)
        self._skipped.update(
            {
                path: Reason("not an image but text")
                for path in listed.listing.texts
                if path not in choice.reading.used and path not in self._skipped
            }
        )
        return self._made(seed, listed, choice)

    def _choose(self, listed: Listed) -> tuple[Choice | None, DatasetRejected | None]:
        """What the archive means; or why it means nothing, which is told once it is known that it holds images."""
        options = self._options
        context = Context(
            listed.listing,
            labels_column=options.labels_column,
            encoding=options.encoding,
            unlabelled_classes=frozenset(map(folded, options.unlabelled_classes)),
            max_lines=self._limits.max_members,
        )
        try:
            return choose(context, options.layout), None
        except DatasetRejected as error:
            return None, error

    def _made(self, seed: int, listed: Listed, choice: Choice) -> DatasetReport:
        reading = choice.reading
        ids = {path: picture.id for path, picture in self._pictures.items()}
        alike = find_alike(self._pictures)
        placed = {path: p for path, p in reading.placements.items() if path in ids}
        belongs_nowhere = {path: reason for path, reason in reading.skipped.items() if path in ids}
        lost = loss_warnings(listed, reading, placed, self._skipped)
        try:
            layout = arrange(
                placed,
                belongs_nowhere,
                seed,
                keys=draw_keys(self._pictures, alike),
                max_classes=self._limits.max_classes,
            )
        except DatasetRejected as error:
            told = " ".join([error.detail, *lost])
            raise DatasetRejected(told, hint=error.hint) from None
        copies = find_copies(layout, self._pictures, alike)
        examples = choose_examples(layout, ids)
        shown = {*chain.from_iterable(examples.values()), *listed_copies(copies)}
        samples = [self._pictures[path] for path in layout.placements]
        if self._options.stretch:
            self._levels = stretched_levels(samples)
        with Packer(self._out_dir / PREPARED_NAME) as packer:
            names = self._names(layout)
            rewritten, thumbnails = self._store(packer, names, shown)
            index = build_index(layout, ids, names, rewritten)
            packer.add_index(index)
        preview = make_preview(examples, thumbnails)
        (self._out_dir / PREVIEW_NAME).write_text(preview.model_dump_json(), encoding="utf-8")
        return make_report(
            layout,
            index,
            self._pictures,
            copies,
            {**self._skipped, **layout.skipped},
            understanding=understood(choice, layout, self._archive.notes, listed.addressed.told()),
            first=lost,
            more=[*_encoding_notes(self._archive), *sample_warnings(samples, self._levels)],
        )

    def _inspect(self, listed: Listed) -> None:
        """Decode every file that may be an image."""
        wanted = set(listed.listing.images) - self._skipped.keys()
        done, total = len(listed.entries) - len(wanted), len(listed.entries)

        def images() -> Iterator[Job]:
            for entry, data in self._archive.walk(lambda entry: entry.path in wanted):
                yield entry.path, data

        inspect = partial(inspect_image, max_pixels=self._limits.max_image_pixels)
        for path, found in self._decoders.map(inspect, images()):
            if isinstance(found, Picture):
                self._pictures[path] = found
            else:
                self._skipped[path] = found or Reason(DIED)
            done += 1
            self._on_progress(LOOKING_SHARE * done / total)
        if not self._pictures and listed.listing.images:
            raise _no_image({path: self._skipped[path] for path in listed.listing.images})

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
            partial(finish, max_pixels=self._limits.max_image_pixels, levels=self._levels), to_decode()
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


def _check(options: ImportOptions) -> None:
    if options.encoding is not None and known_encoding(options.encoding) is None:
        raise DatasetRejected(
            f"There is no encoding {options.encoding!r}.", hint="Name one as Python does: gbk, cp932, cp850, cp1251, …"
        )


def _encoding_notes(archive: Archive) -> list[str]:
    """Of these notes, the guesses: they are loud."""
    return [note for note in archive.notes if "does not say in which encoding" in note]


def _no_image(skipped: Mapping[str, Reason]) -> DatasetRejected:
    reason = Counter(reason.kind for reason in skipped.values()).most_common(1)
    kind = reason[0][0] if reason else ""
    detail = "The archive holds no usable image" + (f"; the usual reason: {kind}." if kind else ".")
    what_to_do = kind.partition(": ")[2] if kind.startswith(("not an image but", "a ")) else ""
    return DatasetRejected(detail, hint=what_to_do[:1].upper() + what_to_do[1:] + "." if what_to_do else HOW_TO_LAY_OUT)
