"""`python -m app.ingest ARCHIVE OUT_DIR`: JSON lines on standard output, the verdict last.

    {"type": "progress", "progress": 0.42}
    {"type": "result", "code": null, "detail": null, "hint": null}

With the code null, the data set and its report lie in OUT_DIR; or only `question.json`, where its owner has to choose.
With `--addresses` it is `addresses.jsonl`, of the images that a table names.

Exit status 0 for a ready and for a rejected data set: a verdict is not a crash.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from app.domain.address_tables import ADDRESSES_NAME
from app.domain.dataset import ImportOptions, ImportResult
from app.domain.errors import DatasetRejected
from app.ingest.addressed import list_addresses
from app.ingest.decoders import processes_for
from app.ingest.importer import import_archive
from app.ingest.limits import Limits

PROGRESS_SECONDS = 0.5
"""At most one progress line in this time."""


def main(argv: list[str] | None = None) -> int:
    defaults = Limits()
    parser = argparse.ArgumentParser(
        prog="python -m app.ingest", description="Check an archive and prepare it for training."
    )
    parser.add_argument("archive", type=Path)
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("--seed", type=int, default=0, help="of the splits that the archive does not give")
    parser.add_argument(
        "--max-images",
        type=int,
        default=defaults.max_members,
        help="entries of the archive, and lines of a file of labels",
    )
    parser.add_argument("--max-classes", type=int, default=defaults.max_classes)
    parser.add_argument("--max-unpacked-bytes", type=int, default=defaults.max_unpacked_bytes)
    parser.add_argument("--max-image-pixels", type=int, default=defaults.max_image_pixels)
    parser.add_argument("--options", default="{}", help="what the archive's owner says about it, as JSON")
    parser.add_argument("--memory-gb", type=float, help="for all processes together; fewer decode where it is little")
    parser.add_argument("--addresses", metavar="NAME", help="list those that a table of this name holds, and no more")
    given = parser.parse_args(argv)
    limits = Limits(
        max_members=given.max_images,
        max_classes=given.max_classes,
        max_unpacked_bytes=given.max_unpacked_bytes,
        max_image_pixels=given.max_image_pixels,
    )
    options = ImportOptions.model_validate_json(given.options)
    if given.addresses is not None:
        listed = _list_addresses(given.archive, given.addresses, given.out_dir, limits, options)
        _say({"type": "result", **listed.model_dump(mode="json", exclude={"report", "question"})})
        return 0
    memory_bytes = None if given.memory_gb is None else given.memory_gb * 1e9
    result = import_archive(
        given.archive,
        given.out_dir,
        seed=given.seed,
        limits=limits,
        processes=processes_for(limits.max_image_pixels, memory_bytes),
        on_progress=_ProgressLines(),
        options=options,
    )
    _say({"type": "result", **result.model_dump(mode="json", exclude={"report", "question"})})
    return 0


def _list_addresses(table: Path, name: str, out_dir: Path, limits: Limits, options: ImportOptions) -> ImportResult:
    out_dir.mkdir(parents=True, exist_ok=True)
    try:
        with (out_dir / ADDRESSES_NAME).open("w", encoding="utf-8") as file:
            for address in list_addresses(table, name, limits, options.encoding):
                file.write(address.model_dump_json() + "\n")
    except DatasetRejected as error:
        return ImportResult(code=error.code, detail=error.detail, hint=error.hint)
    return ImportResult()


class _ProgressLines:
    """Prints progress now and then, and always the last."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, fraction: float) -> None:
        now = time.monotonic()
        if now >= self._next or fraction == 1:
            self._next = now + PROGRESS_SECONDS
            _say({"type": "progress", "progress": round(fraction, 4)})


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
