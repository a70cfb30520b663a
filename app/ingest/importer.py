"""The import: check every entry, decode every image once, lay out, pack."""

import hashlib
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from app.domain.dataset import DatasetReport, ImportResult
from app.domain.errors import DatasetRejected
from app.domain.labels import LABELS_NAME
from app.domain.layout import HOW_TO_LAY_OUT, assign, build_index, decode_labels, find_labels, is_junk, parent
from app.imaging import SUFFIXES, UnreadableImage, open_rgb
from app.ingest.archive import open_archive
from app.ingest.entry import Archive, Entry
from app.ingest.limits import Limits
from app.ingest.prepared import PREPARED_NAME, image_name, pack
from app.ingest.report import make_report

REPORT_NAME = "report.json"
_NESTED = frozenset({".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar"})
_DECODERS = min(4, os.cpu_count() or 1)
"""Threads: Pillow decodes without holding the interpreter's lock."""


def import_archive(
    archive: Path,
    out_dir: Path,
    *,
    seed: int = 0,
    limits: Limits = Limits(),  # noqa: B008 frozen
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> ImportResult:
    """Turn an uploaded archive into a prepared data set.

    Writes `out_dir/prepared.zip` and `out_dir/report.json`, or neither when the archive is rejected. Holds a few
    images in memory at a time, whatever the archive's size.

    Args:
        archive: the uploaded file, hostile until shown otherwise.
        out_dir: made if missing.
        seed: for splits that the user did not give.
        limits: what the archive may ask of us.
        on_progress: called with files checked and files to check.

    Returns:
        The verdict; a rejection is one too and does not raise.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    try:
        report = _prepare(open_archive(archive, limits), out_dir / PREPARED_NAME, seed, limits, on_progress)
    except DatasetRejected as error:
        return ImportResult(code=error.code, detail=error.detail, hint=error.hint)
    (out_dir / REPORT_NAME).write_text(report.model_dump_json(indent=1), encoding="utf-8")
    return ImportResult(report=report)


class _Findings:
    """What is known of each file after the first walk."""

    def __init__(self) -> None:
        self.ids: dict[str, str] = {}
        """Path of a usable image to the SHA-256 of its bytes."""
        self.suffixes: dict[str, str] = {}
        """Path of a usable image to the suffix of its real format."""
        self.skipped: dict[str, str] = {}
        self.labels_csv: str | None = None


def _prepare(
    archive: Archive, target: Path, seed: int, limits: Limits, on_progress: Callable[[int, int], None]
) -> DatasetReport:
    entries = [entry for entry in archive.entries if not is_junk(entry.path)]
    if not entries:
        raise DatasetRejected("The archive holds no files.", hint=HOW_TO_LAY_OUT)
    labels = find_labels(entry.path for entry in entries)
    found = _inspect(archive, entries, labels, limits, on_progress)
    if not found.ids:
        reason = Counter(found.skipped.values()).most_common(1)
        raise DatasetRejected(
            "The archive holds no usable image" + (f"; the usual reason: {reason[0][0]}." if reason else "."),
            hint=HOW_TO_LAY_OUT,
        )
    layout = assign(
        found.ids,
        found.labels_csv,
        seed,
        labels_folder="" if labels is None else parent(labels),
        keys=found.ids,
        unreadable=found.skipped,
    )
    kept = [entry.path for entry in archive.entries if entry.path in layout.placements]
    names = {path: image_name(number, found.suffixes[path]) for number, path in enumerate(kept, start=1)}
    index = build_index(layout, found.ids, names)
    pack(target, index, ((names[e.path], data) for e, data in archive.walk(lambda entry: entry.path in names)))
    return make_report(layout, index, found.ids, {**found.skipped, **layout.skipped})


def _inspect(
    archive: Archive,
    entries: list[Entry],
    labels: str | None,
    limits: Limits,
    on_progress: Callable[[int, int], None],
) -> _Findings:
    found = _Findings()
    wanted: set[str] = set()
    for entry in entries:
        if PurePosixPath(entry.path).suffix.lower() in _NESTED:
            found.skipped[entry.path] = "an archive inside the archive is not opened"
        elif entry.size > limits.max_file_bytes:
            found.skipped[entry.path] = f"larger than {limits.max_file_bytes} bytes"
        else:
            wanted.add(entry.path)
    if labels in found.skipped:
        raise DatasetRejected(
            f"{LABELS_NAME} is larger than {limits.max_file_bytes} bytes.", hint="Split the data set."
        )

    def check(path: str, data: bytes) -> None:
        if path == labels:
            found.labels_csv = decode_labels(data)
            return
        try:
            found.suffixes[path] = SUFFIXES[open_rgb(data, limits.max_image_pixels).format or ""]
            found.ids[path] = hashlib.sha256(data).hexdigest()
        except UnreadableImage as error:
            found.skipped[path] = str(error)

    done = len(found.skipped)
    for _ in _in_parallel(check, ((e.path, data) for e, data in archive.walk(lambda entry: entry.path in wanted))):
        done += 1
        on_progress(done, len(entries))
    return found


def _in_parallel(check: Callable[[str, bytes], None], files: Iterable[tuple[str, bytes]]) -> Iterator[None]:
    """Run `check` on all files with a bounded number of them in memory; yields once per finished file."""
    waiting: deque[Future[None]] = deque()
    with ThreadPoolExecutor(_DECODERS) as pool:
        for path, data in files:
            waiting.append(pool.submit(check, path, data))
            if len(waiting) > 2 * _DECODERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
