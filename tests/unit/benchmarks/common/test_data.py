"""Data sets with few labels: what is labelled, and that nothing tested on was trained on."""

import zipfile
from collections import Counter
from pathlib import Path

from app.domain.dataset import DatasetIndex, Sample, Split
from app.reading.layout import load_index
from benchmarks.common.data import Subset

CLASSES = ("cup", "fork", "knife")
PER_CLASS = 20


def drawn(archive: Path, work: Path, labels: int | None = 4, seed: int = 0, **options: bool | int) -> DatasetIndex:
    return load_index(Subset(archive, labels, seed, **options).folder(work))  # type: ignore[arg-type]


def ids(index: DatasetIndex, *splits: Split) -> set[str]:
    return {sample.id for sample in index.samples if sample.split in splits}


def labels(index: DatasetIndex) -> dict[str, int | None]:
    return {sample.id: sample.label for sample in index.samples if sample.split is Split.TRAIN}


class TestSubset:
    def test_every_image_is_in_exactly_one_split(self, archive: Path, tmp_path: Path) -> None:
        index = drawn(archive, tmp_path)
        assert len(index.samples) == len({sample.id for sample in index.samples}) == len(CLASSES) * PER_CLASS
        counts = Counter(sample.split for sample in index.samples)
        assert counts == {Split.TRAIN: 12, Split.UNLABELLED: 30, Split.VAL: 6, Split.TEST: 12}
        assert index.split_source == "given"

    def test_labels_so_many_of_each_class_and_names_them_rightly(self, archive: Path, tmp_path: Path) -> None:
        index = drawn(archive, tmp_path)
        assert Counter(labels(index).values()) == {0: 4, 1: 4, 2: 4}
        with zipfile.ZipFile(archive) as zipped:
            truth = {zipped.read(name): name.split("/")[0] for name in zipped.namelist()}
        folder = Subset(archive, 4, 0).folder(tmp_path)
        for sample in index.samples:
            if sample.label is not None:
                assert truth[(folder / sample.path).read_bytes()] == index.classes[sample.label]

    def test_labels_all_of_train_where_asked_or_where_there_are_no_more(self, archive: Path, tmp_path: Path) -> None:
        for number in (None, 1000):
            assert Counter(labels(drawn(archive, tmp_path, number)).values()) == {0: 14, 1: 14, 2: 14}
            assert not ids(drawn(archive, tmp_path, number), Split.UNLABELLED)

    def test_seeds_differ_in_the_labelled_draw_alone(self, archive: Path, tmp_path: Path) -> None:
        first, second = drawn(archive, tmp_path, seed=0), drawn(archive, tmp_path, seed=1)
        for split in (Split.VAL, Split.TEST):
            assert ids(first, split) == ids(second, split)
        assert ids(first, Split.TRAIN) != ids(second, Split.TRAIN)
        together = (Split.TRAIN, Split.UNLABELLED)
        assert ids(first, *together) == ids(second, *together)

    def test_fewer_labels_are_among_more(self, archive: Path, tmp_path: Path) -> None:
        few, many = drawn(archive, tmp_path, 2), drawn(archive, tmp_path, 6)
        assert ids(few, Split.TRAIN) < ids(many, Split.TRAIN)
        assert ids(few, Split.TEST) == ids(many, Split.TEST)

    def test_exchanged_labels_leave_images_and_class_sizes_as_they_are(self, archive: Path, tmp_path: Path) -> None:
        right, wrong = labels(drawn(archive, tmp_path)), labels(drawn(archive, tmp_path, shuffled=True))
        assert right.keys() == wrong.keys()
        assert Counter(right.values()) == Counter(wrong.values())
        assert sum(right[image] != wrong[image] for image in right) >= 4

    def test_keeps_so_many_unlabelled_images_as_are_asked_for(self, archive: Path, tmp_path: Path) -> None:
        few, all_of_them = drawn(archive, tmp_path, unlabelled=5), drawn(archive, tmp_path)
        assert len(ids(few, Split.UNLABELLED)) == 5
        assert ids(few, Split.UNLABELLED) < ids(all_of_them, Split.UNLABELLED)
        assert ids(few, Split.TRAIN) == ids(all_of_them, Split.TRAIN)

    def test_the_name_of_an_unlabelled_image_does_not_tell_its_class(self, archive: Path, tmp_path: Path) -> None:
        folder = Subset(archive, 4, 0).folder(tmp_path)
        names = [path.name for path in (folder / "unlabeled").iterdir()]
        assert len(names) == 30
        assert sorted(names) == sorted(f"{image[:20]}.png" for image in ids(load_index(folder), Split.UNLABELLED))

    def test_a_copy_of_a_test_image_never_trains(self, archive: Path) -> None:
        index = DatasetIndex(
            classes=("a", "b"),
            samples=(
                Sample(id="1" * 64, path="train/a/1.png", split=Split.TRAIN, label=0),
                Sample(id="2" * 64, path="train/b/2.png", split=Split.TRAIN, label=1),
                Sample(id="3" * 64, path="train/b/3.png", split=Split.TRAIN, label=1),
                Sample(id="3" * 64, path="test/b/3.png", split=Split.TEST, label=1),
            ),
        )
        placed = [target for target, _ in Subset(archive, None, 0).placed(index)]
        assert sorted(path.rpartition("/")[0] for path in placed) == ["test/b", "train/a", "train/b"]
