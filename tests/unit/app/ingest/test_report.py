from app.domain.dataset import DatasetReport, Reason, Split
from app.domain.layout import Layout, build_index
from app.ingest.copies import find_alike, find_copies
from app.ingest.picture import Picture
from app.ingest.report import make_report
from app.reading.layout import assign


def made(layout: Layout, ids: dict[str, str], skipped: dict[str, Reason], side: int = 64) -> DatasetReport:
    """The report where images with the same id have the same bytes, and no two others look alike."""
    numbers = {id_: number for number, id_ in enumerate(dict.fromkeys(ids.values()))}
    pictures = {
        path: Picture(
            id=id_,
            format="PNG",
            width=side,
            height=side,
            plain=True,
            hash=numbers[id_] * 0x9E3779B97F4A7C15 % 2**64,
            patch=bytes(192),
        )
        for path, id_ in ids.items()
    }
    copies = find_copies(layout, pictures, find_alike(pictures))
    return make_report(layout, build_index(layout, ids), pictures, copies, skipped)


def report_on(copies: dict[str, str], *more: str) -> DatasetReport:
    """The report of ten train and five test images per class; `copies` maps a path to the one whose bytes it has."""
    paths = [f"{s}/{c}/{i}.jpg" for s, n in (("train", 10), ("val", 2), ("test", 5)) for c in "ab" for i in range(n)]
    paths = [*paths, *more, *(copy for copy in copies if copy not in paths)]
    ids = {path: f"id of {copies.get(path, path)}" for path in paths}
    layout = assign(paths, keys=ids)
    return made(layout, ids, {})


class TestCopies:
    def test_none_is_silent(self) -> None:
        report = report_on({})
        assert (report.warnings, report.duplicates, report.duplicates_total) == ((), (), 0)

    def test_in_train_and_test_is_named_and_listed(self) -> None:
        report = report_on({"test/a/0.jpg": "train/a/3.jpg"})
        assert len(report.warnings) == 1
        assert "Images in test and also in another split: 1, for" in report.warnings[0]
        assert "'test/a/0.jpg' and 'train/a/3.jpg'" in report.warnings[0]
        ((one, other),) = report.duplicates
        assert (one.path, one.split, other.path, other.split) == (
            "test/a/0.jpg",
            Split.TEST,
            "train/a/3.jpg",
            Split.TRAIN,
        )

    def test_under_two_labels_is_the_gravest(self) -> None:
        report = report_on({"test/b/0.jpg": "train/a/3.jpg"})
        assert len(report.warnings) == 1
        assert "Images under two labels" in report.warnings[0]
        assert {copy.label for copy in report.duplicates[0]} == {"a", "b"}

    def test_in_train_and_val(self) -> None:
        assert "in val and also" in report_on({"val/a/0.jpg": "train/a/3.jpg"}).warnings[0]

    def test_in_one_split(self) -> None:
        assert "more than once" in report_on({"train/a/4.jpg": "train/a/3.jpg"}).warnings[0]

    def test_unlabelled_and_test(self) -> None:
        assert "in test and also" in report_on({"unlabeled/x.jpg": "test/a/3.jpg"}).warnings[0]

    def test_a_long_list_is_cut_but_counted(self) -> None:
        report = report_on({f"train/a/copy{i}.jpg": f"unlabeled/{i}.jpg" for i in range(1200)}, *(
            f"unlabeled/{i}.jpg" for i in range(1200)
        ))  # fmt: skip
        assert (len(report.duplicates), report.duplicates_total) == (1000, 1200)


class TestBalance:
    def test_a_large_class_beside_a_small_one(self) -> None:
        report = report_on({}, *(f"train/a/more{i}.jpg" for i in range(90)))
        assert report.warnings == (
            "The class 'a' has 100 training images, 'b' only 10. Add images to the small classes or train with "
            '`"balance": "sampling"`, and read the accuracy per class rather than the overall one.',
        )

    def test_a_class_with_one_image_is_kept_and_warned_about(self) -> None:
        report = report_on({}, "train/c/1.jpg", "val/c/2.jpg", "test/c/3.jpg")
        assert report.counts[Split.TRAIN]["c"] == 1
        assert any("Classes with fewer than 5 training images: 1 ('c': 1)" in w for w in report.warnings)
        assert any("unlabeled/" in w for w in report.warnings)


class TestCounts:
    def test_every_class_stands_in_every_split(self) -> None:
        report = report_on({}, "train/c/1.jpg", "unlabeled/1.jpg")
        assert report.counts[Split.TEST] == {"a": 5, "b": 5, "c": 0}
        assert report.counts[Split.UNLABELLED] == {"": 1}

    def test_skipped_files_are_sorted_cut_and_counted(self) -> None:
        paths = ["train/a/1.jpg", "train/b/1.jpg"]
        ids = {path: path for path in paths}
        layout = assign(paths)
        skipped = {f"{i:05}.txt": Reason("not an image") for i in reversed(range(1500))}
        report = made(layout, ids, skipped)
        assert [s.path for s in report.skipped[:2]] == ["00000.txt", "00001.txt"]
        assert (len(report.skipped), report.skipped_total) == (1000, 1500)


class TestSkipped:
    PATHS = ("train/a/1.jpg", "train/b/1.jpg")

    def made(self, skipped: dict[str, Reason]) -> DatasetReport:
        return made(assign(self.PATHS), {path: path for path in self.PATHS}, skipped)

    def test_reasons_are_counted_by_kind(self) -> None:
        """Each of them tells the size of its image, so as texts they are all different."""
        skipped = {f"{side}.jpg": Reason("too large", f"{side} × {side} is too large") for side in range(5)}
        report = self.made({"a.txt": Reason("not an image"), "b.txt": Reason("not an image")} | skipped)
        assert report.warnings[0].startswith("Files left out: 7, the usual reason (5 times): too large.")
        assert report.skipped[0].reason == "0 × 0 is too large"

    def test_long_paths_shorten_the_list(self) -> None:
        report = self.made({f"{number:04000}": Reason("not an image") for number in range(1000)})
        assert sum(len(file.path) for file in report.skipped) <= 1_000_000
        assert (len(report.skipped), report.skipped_total) == (249, 1000)


class TestSizes:
    def test_tells_the_spread_and_warns_of_tiny_images(self) -> None:
        paths = [f"{c}/{i}.jpg" for c in "ab" for i in range(20)]
        ids = {path: path for path in paths}
        report = made(assign(paths), ids, {}, side=28)
        assert report.sizes is not None
        assert (report.sizes.width.median, report.sizes.formats) == (28, {"PNG": 40})
        assert any("under 32 pixels on their short side: 40 of 40" in warning for warning in report.warnings)
