"""The URLs of receivers."""

import pytest
from pydantic import TypeAdapter, ValidationError

from app.domain.urls import WebUrl, address_of

URL: TypeAdapter[str] = TypeAdapter(WebUrl)


class TestWebUrl:
    @pytest.mark.parametrize(
        ("sent", "kept"),
        [
            ("https://Example.COM", "https://example.com/"),
            ("http://example.com:8080/a?b=c", "http://example.com:8080/a?b=c"),
            ("https://bücher.example/ü", "https://xn--bcher-kva.example/%C3%BC"),
            ("http://0x7f.1/", "http://127.0.0.1/"),
            ("http://2130706433/", "http://127.0.0.1/"),
            ("http://0177.0.0.1/", "http://127.0.0.1/"),
            ("http://[::FFFF:127.0.0.1]/", "http://[::ffff:7f00:1]/"),
            ("http://127。0。0。1/", "http://127.0.0.1/"),
            ("http://example.com\\@127.0.0.1/", "http://example.com/@127.0.0.1/"),
        ],
    )
    def test_has_one_spelling(self, sent: str, kept: str) -> None:
        assert URL.validate_python(sent) == kept

    @pytest.mark.parametrize(
        "bad",
        [
            *("ftp://example.com/", "file:///etc/passwd", "gopher://a/", "//example.com", "example.com", "http://", ""),
            *(
                "http://user@example.com/",
                "http://user:pw@example.com/",
                "http://a/#b",
                "http://a:0/",
                "http://a:99999/",
            ),
            *("https://" + "a" * 254 + "/", "https://a/" + "b" * 2048, "https://a/" + "ü" * 1000),
        ],
    )
    def test_others_are_refused(self, bad: str) -> None:
        with pytest.raises(ValidationError):
            URL.validate_python(bad)

    def test_its_parts_are_those_that_are_asked_for(self) -> None:
        address = address_of("http://[::1]:8080/a/b?c=d%20e")
        assert (address.scheme, address.host, address.port) == ("http", "::1", 8080)
        assert (address.target, address.authority, address.server) == ("/a/b?c=d%20e", "[::1]:8080", "::1:8080")
        assert address_of("https://example.com/").authority == "example.com"
        assert address_of("https://example.com/").port == 443
