"""Tables of addresses: what images they name, and what becomes of an archive that was made of them."""

import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from app.domain.address_tables import NOTES_NAME, Address
from app.domain.dataset import ImportResult
from app.domain.errors import DatasetRejected
from app.ingest import import_archive
from app.ingest.addressed import list_addresses
from app.ingest.limits import Limits


def listed(folder: Path, *cells: str, limits: Limits = Limits()) -> list[Address]:  # noqa: B008 frozen
    table = folder / "table"
    table.write_text("".join(f"{line}\n" for line in ["url,label", *(f"{cell},cat" for cell in cells)]))
    return list(list_addresses(table, "urls.csv", limits))


def packed(folder: Path, table: str, addresses: list[Address], images: dict[str, bytes]) -> ImportResult:
    """What the import makes of an archive as the worker packs it."""
    file = folder / "packed.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("urls.csv", table)
        archive.writestr(NOTES_NAME, "".join(f"{address.model_dump_json()}\n" for address in addresses))
        for path, data in images.items():
            archive.writestr(path, data)
    return import_archive(file, folder / "out")


def picture(number: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (40, 40), (number * 9, 3, 99)).save(file, "PNG")
    return file.getvalue()


class TestListAddresses:
    def test_gives_each_image_a_path_that_tells_its_address_and_no_secret(self, tmp_path: Path) -> None:
        cells = [
            "https://a.example/pets/cat%201.jpg?token=s3cret#x",
            "https://a.example/pets/cat%201.jpg?token=other",
            "https://me:s3cret@a.example:8443/1.png",
            "s3://photos/sets/2.png",
            "https://b.example",
        ]
        assert [address.path for address in listed(tmp_path, *cells)] == [
            "a.example/pets/cat 1.jpg",
            "a.example/pets/cat 1 (2).jpg",
            "a.example_8443/1.png",
            "photos/sets/2.png",
            "b.example",
        ]

    @pytest.mark.parametrize(
        "cell",
        [
            "https://a.example/../../etc/passwd",
            "https://a.example/%2e%2e/%2e%2e/etc/passwd",
            "https://a.example//.git/config",
            "https://a.example/__MACOSX/thumbs.db",
            "https://a.example/a%00b%0a.jpg",
            "https://a.example/a%5cb%2fc.jpg",
            f"https://a.example/{'x/' * 3000}1.jpg",
            f"https://a.example/{'Ä' * 900}.jpg",
            "https://e\u0301.example/e\u0301.jpg",
        ],
    )
    def test_every_path_is_one_that_an_archive_may_hold(self, tmp_path: Path, cell: str) -> None:
        others = [f"https://a.example/{n}.jpg" for n in range(6)]
        addresses = listed(tmp_path, cell, *others)
        table = "".join(f"{a.cell},{'ab'[n % 2]}\n" for n, a in enumerate(addresses))
        result = packed(
            tmp_path, f"url,label\n{table}", addresses, {a.path: picture(n) for n, a in enumerate(addresses)}
        )
        assert result.report is not None, result
        assert (result.report.images, result.report.skipped_total) == (7, 0)

    def test_a_table_has_as_many_lines_as_an_archive_entries(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetRejected, match="more than"):
            listed(tmp_path, *(f"https://a.example/{n}" for n in range(30)), limits=Limits(max_members=20))


class TestPacked:
    TABLE = "".join(f"https://a.example/{n % 2}/{n}.png,{'cat' if n < 6 else 'dog'}\n" for n in range(12))

    def addresses(self, lost: dict[int, str]) -> list[Address]:
        cells = [line.partition(",")[0] for line in self.TABLE.splitlines()]
        return [
            Address(cell=cell, path=cell.removeprefix("https://"), lost=lost.get(number))
            for number, cell in enumerate(cells)
        ]

    def result(self, folder: Path, lost: dict[int, str]) -> ImportResult:
        addresses = self.addresses(lost)
        images = {a.path: picture(n) for n, a in enumerate(addresses) if a.lost is None}
        return packed(folder, f"url,label\n{self.TABLE}", addresses, images)

    def test_classes_come_from_the_table_and_never_from_folders_of_servers(self, tmp_path: Path) -> None:
        report = self.result(tmp_path, {}).report
        assert report is not None
        assert report.layout is not None
        assert report.classes == ("cat", "dog")
        assert len(report.layout.readings) == 1
        assert report.layout.sentence.endswith("; 12 images from their URLs.")

    def test_what_could_not_be_fetched_is_reported_as_what_cannot_be_read(self, tmp_path: Path) -> None:
        report = self.result(tmp_path, {0: "nothing lies at its address", 7: "it is too large"}).report
        assert report is not None
        assert {file.path: file.reason for file in report.skipped} == {
            "a.example/0/0.png": "could not be fetched: nothing lies at its address",
            "a.example/1/7.png": "could not be fetched: it is too large",
        }
        assert any(warning.startswith("Files left out: 2") for warning in report.warnings), report.warnings

    def test_a_class_that_lost_all_its_images_is_named(self, tmp_path: Path) -> None:
        rejected = self.result(tmp_path, dict.fromkeys(range(6), "its server refuses it"))
        assert rejected.detail is not None
        assert "The class 'cat' is lost" in rejected.detail
        assert "could not be fetched: its server refuses it" in rejected.detail

    def test_nothing_that_could_be_fetched(self, tmp_path: Path) -> None:
        rejected = self.result(tmp_path, dict.fromkeys(range(12), "its server refuses it"))
        assert rejected.detail == (
            "The archive holds no usable image; the usual reason: could not be fetched: its server refuses it."
        )

    def test_splits_may_come_from_a_column(self, tmp_path: Path) -> None:
        addresses = self.addresses({})
        rows = [
            f"{a.cell},{'cat' if n < 6 else 'dog'},{'test' if n % 3 == 0 else 'train'}" for n, a in enumerate(addresses)
        ]
        images = {a.path: picture(n) for n, a in enumerate(addresses)}
        report = packed(tmp_path, "\n".join(["url,label,split", *rows]), addresses, images).report
        assert report is not None
        assert report.layout is not None
        assert "splits from the column `split`" in report.layout.sentence
