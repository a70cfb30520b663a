"""How a table of addresses is told from an archive."""

import pytest

from app.domain.address_tables import may_hold_addresses, table_name

TABLE = "url,label\nhttps://a.example/1.jpg,cat\n"


class TestMayHoldAddresses:
    @pytest.mark.parametrize(
        "head",
        [TABLE.encode(), TABLE.encode("utf-8-sig"), TABLE.encode("utf-16"), TABLE.replace("cat", "Käfer").encode()],
    )
    def test_knows_tables(self, head: bytes) -> None:
        assert may_hold_addresses(head)

    @pytest.mark.parametrize(
        "head",
        [
            b"PK\x03\x04 https://a.example/",
            b"cat/1.jpg\0\0\0https://a.example/",
            b"<!doctype html><a href='https://a.example/'>",
            b'{"url": "https://a.example/1.jpg"}',
            b"version https://git-lfs.github.com/spec/v1\n",
            b"path,label\n1.jpg,cat\n",
            b"",
        ],
    )
    def test_takes_nothing_else_for_one(self, head: bytes) -> None:
        assert not may_hold_addresses(head)


class TestTableName:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("pets.csv", "pets.csv"),
            ("C:\\data\\Pets.TSV", "Pets.TSV"),
            ("two pets", "urls.csv"),
            ("pets.zip", "urls.csv"),
            (".csv", "urls.csv"),
            ("a\n.csv", "urls.csv"),
        ],
    )
    def test_is_a_name_that_any_archive_may_hold(self, name: str, expected: str) -> None:
        assert table_name(name) == expected
