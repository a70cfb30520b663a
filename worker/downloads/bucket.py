"""Archives in buckets, read with the credentials of this worker."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fsspec

from app.domain.errors import SourceForbidden, SourceNotFound, SourceUnavailable
from app.domain.sources import Buckets, s3_address
from worker.downloads.part import Interrupted, Mark, Part, Replaced

_PIECE_BYTES = 8 * 2**20


class BucketSource:
    """An object in a bucket."""

    def __init__(self, buckets: Buckets, url: str) -> None:
        """
        Raises:
            BucketRefused: the operator has not opened it, or not any more.
        """
        buckets.require(url)
        self._path = "/".join(s3_address(url))

    @contextmanager
    def open(self, offset: int, mark: Mark | None, seconds: float) -> Iterator[Part]:
        """As `Source.open`. What is read is read of one version: s3fs sends its ETag with each request."""
        try:
            fs = fsspec.filesystem("s3", use_listings_cache=False)
        except ImportError:
            raise SourceUnavailable(
                "The import worker cannot read buckets.", hint="Its operator installs tdmr[s3]."
            ) from None
        with _in_words():
            info = fs.info(self._path)
            if info["type"] != "file":
                raise FileNotFoundError(self._path)
            now = Mark(etag=info.get("ETag"), length=int(info["size"]))
            if offset and mark != now:
                raise Replaced
            stream = fs.open(self._path, "rb", cache_type="none")
        try:
            yield Part(offset, now, _pieces(stream, offset))
        finally:
            stream.close()


def _pieces(stream: Any, start: int) -> Iterator[bytes]:
    with _in_words():
        stream.seek(start)
        while piece := stream.read(_PIECE_BYTES):
            yield piece


@contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except (Interrupted, GeneratorExit):
        raise
    except FileNotFoundError:
        raise SourceNotFound("The bucket has no such object.", hint="Check the address.") from None
    except PermissionError:
        raise SourceForbidden(
            "The service's credentials may not read this object.", hint="Its operator can let them."
        ) from None
    except OSError as error:
        if error.errno == errno.EBUSY:  # s3fs's FileExpired: another version, by its ETag
            raise Replaced from error
        raise Interrupted("The bucket does not answer.") from error
    except Exception as error:  # each backend has errors of its own
        raise Interrupted("The bucket does not answer.") from error
