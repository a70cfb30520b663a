"""Receive `multipart/form-data` straight into one local file: bounded memory, hashed on the way, gone afterwards.

Starlette's own form parser would spool the file to the system's temporary folder first, and hash nothing.
"""

import hashlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath
from typing import Annotated, BinaryIO

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool

from app.api.deps import AppSettings
from app.domain.errors import MalformedRequest, UnsupportedMediaType, UploadTooLarge
from app.domain.spec import Text
from app.services.datasets import Upload, storage_error

FORM_OVERHEAD_BYTES = 64 * 1024
"""What a form may have besides the file: boundaries, part headers, the name."""
_PIECE_BYTES = 2**20
_MAX_NAME_BYTES = 4096
_NAME: TypeAdapter[str] = TypeAdapter(Text)


async def receive_upload(request: Request, settings: AppSettings) -> AsyncIterator[Upload]:
    """The form's `file` with its `name`; the local copy is deleted when the request is over, however it ends.

    Raises:
        UnsupportedMediaType, MalformedRequest, UploadTooLarge, DiskFull, RequestValidationError
    """
    media_type, options = parse_options_header(request.headers.get("content-type"))
    if media_type != b"multipart/form-data":
        raise UnsupportedMediaType(
            "A data set is sent as multipart/form-data.", hint="Try: curl -F file=@images.zip …", param="Content-Type"
        )
    if b"boundary" not in options:
        raise MalformedRequest("The Content-Type names no boundary.", param="Content-Type")
    settings.scratch.mkdir(parents=True, exist_ok=True)
    path = settings.scratch / f"upload-{uuid.uuid4().hex}"
    try:
        with path.open("xb") as target:
            form = _Form(options[b"boundary"], target, settings.max_upload_bytes)
            pieces = bytearray()
            async for chunk in request.stream():
                pieces += chunk
                if len(pieces) >= _PIECE_BYTES:  # fewer, larger trips to a thread
                    await run_in_threadpool(form.feed, bytes(pieces))
                    pieces.clear()
            await run_in_threadpool(form.feed, bytes(pieces))
        yield form.finish(path)
    finally:
        path.unlink(missing_ok=True)


# scope="function": the local copy is gone before the answer leaves
ReceivedUpload = Annotated[Upload, Depends(receive_upload, scope="function")]


class _Form:
    """The form as it arrives: `file` goes to the target, `name` is kept, anything else is refused."""

    def __init__(self, boundary: bytes, target: BinaryIO, max_bytes: int) -> None:
        self._target = target
        self._max_bytes = max_bytes
        self._sha256 = hashlib.sha256()
        self._bytes = 0
        self._filename: str | None = None
        self._name: bytearray | None = None
        self._field = ""
        self._header, self._value, self._disposition = b"", b"", b""
        self._complete = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._on_part_begin,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": self._on_part_data,
                "on_end": self._on_end,
            },
        )

    def feed(self, data: bytes) -> None:
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise MalformedRequest("The body is not well-formed multipart/form-data.") from error
        except OSError as error:
            raise storage_error(error) from error

    def finish(self, path: Path) -> Upload:
        if not self._complete:
            raise MalformedRequest("The form ends too early.", hint="Send the file again.")
        if self._filename is None:
            raise _invalid("file", "missing", "Field required")
        return Upload(path, self._checked_name(), self._bytes, self._sha256.hexdigest())

    def _checked_name(self) -> str:
        if self._name is None:
            # browsers and curl may send a path; only its last part is a name
            last = PurePosixPath((self._filename or "").replace("\\", "/").replace("\x00", "")).name
            return last[:256] or "unnamed"
        try:
            return _NAME.validate_python(self._name.decode())
        except UnicodeDecodeError as error:
            raise _invalid("name", "string_unicode", "Input should be valid UTF-8") from error
        except ValidationError as error:
            first = error.errors()[0]
            raise _invalid("name", first["type"], first["msg"]) from error

    def _on_part_begin(self) -> None:
        self._disposition = b""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._field = options.get(b"name", b"").decode(errors="replace")
        if self._field == "file" and self._filename is None:
            self._filename = options.get(b"filename", b"").decode(errors="replace")
        elif self._field == "name" and self._name is None:
            self._name = bytearray()
        else:
            # the first part too many ends it, so that ten thousand parts cost no more than one
            raise MalformedRequest("The form takes one `file` and at most one `name`, and nothing else.")

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field == "file":
            self._bytes += end - start
            if self._bytes > self._max_bytes:
                raise UploadTooLarge(f"The archive may have at most {self._max_bytes:,} bytes.", param="file")
            self._target.write(data[start:end])
            self._sha256.update(data[start:end])
        else:
            assert self._name is not None, "set when the part's headers were read"
            self._name += data[start:end]
            if len(self._name) > _MAX_NAME_BYTES:
                raise _invalid("name", "string_too_long", "String should have at most 256 characters")

    def _on_end(self) -> None:
        self._complete = True


def _invalid(field: str, kind: str, message: str) -> RequestValidationError:
    return RequestValidationError([{"type": kind, "loc": ("body", field), "msg": message}])
