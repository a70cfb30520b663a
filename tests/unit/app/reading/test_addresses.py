"""Which column of a table holds the addresses of images."""

import pytest

from app.reading.addresses import listed_addresses
from app.reading.tables.table import open_table


def listed(text: str, file: str = "urls.csv") -> list[str] | None:
    table = open_table(file, text)
    found = None if table is None else listed_addresses(table)
    return None if found is None else list(found)


class TestListedAddresses:
    @pytest.mark.parametrize(
        "text",
        [
            "url,label\nhttps://a.example/1.jpg,cat\nhttp://a.example/2.jpg,dog\n",
            "label;image_url\ncat;https://a.example/1.jpg\ndog;http://a.example/2.jpg\n",
            "cat\thttps://a.example/1.jpg\ndog\thttp://a.example/2.jpg\n",
            "\ufefflink,klasse\r\nhttps://a.example/1.jpg,cat\r\nhttp://a.example/2.jpg,dog\r\n",
            '"url","label"\n"https://a.example/1.jpg","a, b"\n"http://a.example/2.jpg","c"\n',
        ],
    )
    def test_finds_them_in_any_dialect(self, text: str) -> None:
        assert listed(text) == ["https://a.example/1.jpg", "http://a.example/2.jpg"]

    def test_prefers_a_column_that_is_called_like_one_of_files(self) -> None:
        text = "page,image_url,label\n" + "".join(
            f"https://shop.example/{n},https://cdn.example/{n}.jpg,cat\n" for n in range(3)
        )
        assert listed(text) == [f"https://cdn.example/{n}.jpg" for n in range(3)]

    def test_lists_each_once_and_passes_over_what_is_none(self) -> None:
        text = "url,label\nhttps://a.example/1.jpg,cat\nhttps://a.example/1.jpg,cat\n,dog\nn/a,dog\ns3://b/2.jpg,dog\n"
        assert listed(text) == ["https://a.example/1.jpg", "s3://b/2.jpg"]

    @pytest.mark.parametrize("text", ["path,label\n1.jpg,cat\n2.jpg,dog\n", "just words\n", "label\ncat\ndog\n"])
    def test_gives_none_where_no_column_holds_them(self, text: str) -> None:
        assert listed(text) is None
