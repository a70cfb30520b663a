"""`multipart/form-data`, read as it arrives: the file goes on in pieces, nothing is kept.

Starlette's own form parser would spool the file to the system's temporary folder first, and hash nothing.
"""

from collections.abc import Callable, Collection

from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from app.domain.errors import MalformedRequest
from app.domain.names import Text

FORM_OVERHEAD_BYTES = 64 * 1024
"""What a form may have besides the file: boundaries, part headers, the other fields."""
_MAX_FIELD_BYTES = 4096
_MAX_HEADER_BYTES = 8192
_NAME: TypeAdapter[str] = TypeAdapter(Text)


class Form:
    """The form as it arrives: `file` goes to the target, known fields are kept, anything else is refused."""

    def __init__(self, boundary: bytes, write: Callable[[bytes], None], fields: Collection[str] = ()) -> None:
        """
        Args:
            boundary: as the Content-Type tells it.
            write: takes the file, in pieces.
            fields: what it may have besides, each once.
        """
        self._write = write
        self._fields = fields
        self._filename: str | None = None
        self._values: dict[str, bytearray] = {}
        self._field = ""
        self._header, self._value, self._disposition = b"", b"", b""
        self._complete = False
        try:
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
        except FormParserError as error:  # for a boundary that is no boundary
            raise _malformed() from error

    def feed(self, data: bytes | bytearray) -> None:
        """
        Raises:
            MalformedRequest, RequestValidationError
        """
        try:
            self._parser.write(bytes(data))
        except FormParserError as error:
            raise _malformed() from error

    def finish(self) -> None:
        """
        Raises:
            MalformedRequest, RequestValidationError: if something is missing.
        """
        if not self._complete:
            raise MalformedRequest("The form is incomplete.", hint="Send the file again.")
        if self._filename is None:
            raise _invalid("file", "missing", "Field required")

    @property
    def filename(self) -> str:
        """As it was sent."""
        return self._filename or ""

    def values(self) -> dict[str, str]:
        """The fields that were sent, besides the file.

        Raises:
            RequestValidationError: one is no text.
        """
        return {field: _text(field, bytes(value)) for field, value in self._values.items()}

    def name(self) -> str | None:
        """The form's field `name`.

        Raises:
            RequestValidationError: if it cannot be stored.
        """
        value = self.values().get("name")
        if value is None:
            return None
        try:
            return _NAME.validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            raise _invalid("name", first["type"], first["msg"]) from error

    def _on_part_begin(self) -> None:
        self._disposition = b""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]
        self._bound_header()

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._bound_header()

    def _bound_header(self) -> None:
        if len(self._header) + len(self._value) > _MAX_HEADER_BYTES:
            raise MalformedRequest(f"A part's header may have at most {_MAX_HEADER_BYTES:,} bytes.")

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._field = options.get(b"name", b"").decode(errors="replace")
        if self._field == "file" and self._filename is None:
            self._filename = options.get(b"filename", b"").decode(errors="replace")
        elif self._field in self._fields and self._field not in self._values:
            self._values[self._field] = bytearray()
        else:
            # the first part too many ends it, so that ten thousand parts cost no more than one
            also = (
                f" and at most one each of {', '.join(f'`{field}`' for field in self._fields)}" if self._fields else ""
            )
            raise MalformedRequest(f"The form takes one `file`{also}, and nothing else.")

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field == "file":
            self._write(data[start:end])
        else:
            value = self._values[self._field]
            value += data[start:end]
            if len(value) > _MAX_FIELD_BYTES:
                raise _invalid(self._field, "string_too_long", f"String should have at most {_MAX_FIELD_BYTES} bytes")

    def _on_end(self) -> None:
        self._complete = True


def _text(field: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise _invalid(field, "string_unicode", "Input should be valid UTF-8") from error


def _malformed() -> MalformedRequest:
    return MalformedRequest("The body is not well-formed multipart/form-data.")


def _invalid(field: str, kind: str, message: str) -> RequestValidationError:
    return RequestValidationError([{"type": kind, "loc": ("body", field), "msg": message}])
