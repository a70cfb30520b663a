"""The demo's archive: what lies where, and that nothing tested on was trained on."""

import functools
import io
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest
from PIL import Image
from sklearn.datasets import load_digits

from app.demo.digits import load, write_digits_zip

Written = Callable[..., dict[str, bytes]]


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        assert len(set(archive.namelist())) == len(archive.namelist())
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """What an archive holds; each is written once."""

    @functools.cache
    def write(**arguments: int) -> dict[str, bytes]:
        path = tmp_path_factory.mktemp("digits") / "digits.zip"
        write_digits_zip(path, **arguments)
        return members(path)

    return write


def part(files: dict[str, bytes], split: str) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if PurePosixPath(name).parts[0] == split}


def test_the_digits_are_those_of_scikit_learn() -> None:
    ink, targets = load()
    source = load_digits()
    assert (ink == source.images).all() and (targets == source.target).all()


class TestLayout:
    def test_holds_every_digit_once_and_only_the_three_splits(self, written: Written) -> None:
        files = written()
        assert len(files) == len(set(files.values())) == 1797
        assert {PurePosixPath(name).parts[0] for name in files} == {"train", "unlabeled", "test"}

    @pytest.mark.parametrize("labels_per_class", [1, 5])
    def test_labels_exactly_so_many_of_each_class(self, written: Written, labels_per_class: int) -> None:
        train = part(written(labels_per_class=labels_per_class), "train")
        per_class = Counter(PurePosixPath(name).parent.name for name in train)
        assert per_class == {str(digit): labels_per_class for digit in range(10)}

    def test_tests_on_two_fifths_of_each_class(self, written: Written) -> None:
        per_class = Counter(PurePosixPath(name).parent.name for name in part(written(), "test"))
        assert set(per_class) == {str(digit) for digit in range(10)}
        assert all(0.39 * 174 <= count <= 0.41 * 183 for count in per_class.values())

    def test_unlabelled_images_lie_in_no_class_folder(self, written: Written) -> None:
        names = list(part(written(), "unlabeled"))
        assert all(PurePosixPath(name).parent == PurePosixPath("unlabeled") for name in names)
        assert names == sorted(names)

    @pytest.mark.parametrize("side", [20, 32])
    def test_draws_dark_ink_on_white_at_the_side_asked_for(self, written: Written, side: int) -> None:
        content = next(iter(written(side=side).values()))
        image = Image.open(io.BytesIO(content))
        assert (image.format, image.size) == ("PNG", (side, side))
        assert image.getpixel((0, 0)) == 255
        assert image.getextrema()[0] < 64


class TestSplit:
    def test_equal_arguments_write_equal_bytes(self, tmp_path: Path) -> None:
        for name in "ab":
            write_digits_zip(tmp_path / name, seed=3)
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()

    def test_another_seed_labels_other_images(self, written: Written) -> None:
        assert part(written(seed=0), "train") != part(written(seed=1), "train")

    def test_the_test_set_does_not_depend_on_the_number_of_labels(self, written: Written) -> None:
        few, many = (written(labels_per_class=count) for count in (1, 10))
        assert part(few, "test") == part(many, "test")
        assert part(few, "train").items() < part(many, "train").items()

    @pytest.mark.parametrize("labels_per_class", [0, 110])
    def test_refuses_what_a_class_cannot_give(self, tmp_path: Path, labels_per_class: int) -> None:
        with pytest.raises(ValueError, match="labels_per_class must be between 1 and"):
            write_digits_zip(tmp_path / "digits.zip", labels_per_class=labels_per_class)
        assert not list(tmp_path.iterdir())
