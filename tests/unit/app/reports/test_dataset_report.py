"""The page is parsed as a browser would, and searched for what must not be in it."""

from datetime import UTC, datetime

from app.domain.dataset import DatasetReport, ImageCopy, ImageSizes, Preview, SkippedFile, Split, Spread
from app.domain.review import DataReview, Outlier, Suspect
from app.reports import dataset_report
from app.reports.dataset_report import Content, ReportedDataset

from .parsing import Page

EVIL = '"><script>alert(1)</script>'
RIGHT_TO_LEFT = "תפוחים"


def dataset(name: str = "pets.zip") -> ReportedDataset:
    return ReportedDataset(
        id="ds_1", name=name, bytes=12_345_678, sha256="a" * 64, created_at=datetime(2026, 3, 1, tzinfo=UTC)
    )


def report(*classes: str, **changes: object) -> DatasetReport:
    counts = {split: {name: number + 3 for number, name in enumerate(classes)} for split in (Split.TRAIN, Split.TEST)}
    content = {
        "classes": classes,
        "counts": counts | {Split.VAL: dict.fromkeys(classes, 0)},
        "images": 1234,
        "sizes": ImageSizes(
            width=Spread(least=10, median=160, most=4000),
            height=Spread(least=9, median=120, most=3000),
            formats={"JPEG": 1200, "PNG": 34},
        ),
    }
    return DatasetReport.model_validate(content | changes)


def render(
    about: ReportedDataset, found: DatasetReport, preview: Preview | None = None, review: DataReview | None = None
) -> str:
    return dataset_report.render(Content(dataset=about, report=found, preview=preview, review=review))


def copies(*paths: str, label: str = "cat") -> tuple[ImageCopy, ...]:
    return tuple(ImageCopy(path=path, split=Split.TRAIN, label=label) for path in paths)


class TestPage:
    def test_tells_counts_and_sizes(self) -> None:
        text = Page(render(dataset(), report("cat", "dog"), None, None)).text
        for words in (
            "pets.zip",
            "12.3 MB",
            "1,234",
            "1 March 2026",
            "4,000",
            "JPEG: 1,200",
            "None: no file was skipped",
        ):
            assert words in text

    def test_draws_bars_to_one_scale(self) -> None:
        bars = [tag["width"] for tag in Page(render(dataset(), report("cat", "dog"), None, None)).all("svg")]
        assert bars == ["37.5%", "0.0%", "37.5%", "50.0%", "0.0%", "50.0%"]

    def test_stands_alone_and_runs_nothing(self) -> None:
        preview = Preview(examples={"cat": ("cat/1.jpg",)}, pictures={"cat/1.jpg": "QUJD"})
        html = render(dataset(), report("cat", "dog"), preview, None)
        page = Page(html)
        assert page.all("img") == [
            {"src": "data:image/jpeg;base64,QUJD", "alt": "cat/1.jpg", "title": "cat/1.jpg", "loading": "lazy"}
        ]
        assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "a", "form", "object"})
        assert "http" not in html.replace("<meta http-equiv", "")
        assert "url(" not in html
        assert " style=" not in html  # its policy allows the one style sheet that it has


class TestNames:
    def everywhere(self, name: str) -> str:
        """A page with the name wherever one can stand."""
        path = f"{name}/{name}.jpg"
        given = report(
            name,
            "dog",
            skipped=(SkippedFile(path=path, reason=name),),
            skipped_total=1,
            duplicates=(copies(path, "b", label=name),),
            duplicates_total=1,
            near_duplicates=(copies(path, "c", label=name),),
            near_duplicates_total=1,
            warnings=(f"Images under two labels: 1, for example '{path}' and 'dog/1.jpg'. Look.",),
        )
        review = DataReview(
            teacher=name,
            method=name,
            images=9,
            suspects=(Suspect(path=path, split=Split.TRAIN, label=name, suggested=name, sure=0.9, picture="QUJD"),),
            suspects_total=1,
            outliers=(Outlier(path=path, split=Split.TRAIN, label=name, distance=0.5, typical=0.1, picture="QUJD"),),
        )
        preview = Preview(examples={name: (path,), "": (path,)}, pictures={path: "QUJD"})
        return render(dataset(name), given, preview, review)

    def test_are_text_and_nothing_else(self) -> None:
        html = self.everywhere(EVIL)
        page = Page(html)
        assert page.all("script") == []
        assert all(set(tag) == {"src", "alt", "title", "loading"} for tag in page.all("img"))
        assert page.text.count("alert(1)") >= 10

    def test_from_right_to_left_are_isolated_part_by_part(self) -> None:
        html = self.everywhere(RIGHT_TO_LEFT)
        assert f"<bdi>{RIGHT_TO_LEFT}</bdi>/<wbr><bdi>{RIGHT_TO_LEFT}.jpg</bdi>" in html
        assert f"<bdi>{RIGHT_TO_LEFT}.jpg</bdi>&#39; and &#39;<bdi>dog</bdi>" in html

    def test_cannot_turn_the_page_around(self) -> None:
        html = self.everywhere("cat\u202egpj.exe")
        assert "\u202e" not in html
        assert "\\u202e" in html


class TestLists:
    def test_are_cut_and_counted(self) -> None:
        groups = tuple(copies(*(f"{number}/{i}.jpg" for i in range(9))) for number in range(40))
        skipped = tuple(SkippedFile(path=f"{number}.txt", reason="no image") for number in range(1000))
        given = report("cat", "dog", duplicates=groups, duplicates_total=70, skipped=skipped, skipped_total=5000)
        text = Page(render(dataset(), given, None, None)).text
        assert "23/3.jpg" in text.replace("\n", "")
        assert "24/0.jpg" not in text
        assert "and 5 more" in text
        assert "46 more are in the report as JSON" in text
        assert "4,800 more" in text

    def test_of_classes_too(self) -> None:
        names = [f"class-{number:05}" for number in range(10_000)]
        page = Page(render(dataset(), report(*names)))
        assert "class-00199" in page.text
        assert "class-00200" not in page.text
        assert "The first 200 of 10,000 classes" in page.text
        # all classes are counted, in each split
        assert page.text.count(f"{sum(range(3, 10_003)):,}") == 2

    def test_do_not_grow_with_the_length_of_names(self) -> None:
        """4,096 bytes is the longest path of an archive, and it may have two thousand parts."""
        paths = ["/".join(["x"] * 2045 + [f"{number:05}"]) for number in range(400)]
        groups = tuple(copies(*paths[:20], label="y" * 255) for _ in range(30))
        given = report(
            *(f"{number:0255}" for number in range(300)),
            duplicates=groups,
            near_duplicates=groups,
            duplicates_total=30,
            near_duplicates_total=30,
            skipped=tuple(SkippedFile(path=path, reason="no image") for path in paths),
            skipped_total=400,
        )
        preview = Preview(examples={"": tuple(paths[:9])}, pictures=dict.fromkeys(paths, "QUJD"))
        html = render(dataset(), given, preview)
        assert len(html) < 2_000_000
        assert "00399" not in html
        assert "…" in html

    def test_a_copy_without_a_picture_is_still_listed(self) -> None:
        page = Page(
            render(dataset(), report("cat", "dog", duplicates=(copies("a", "b"),), duplicates_total=1), None, None)
        )
        assert len(page.all("figure")) == 2
        assert page.all("img") == []
