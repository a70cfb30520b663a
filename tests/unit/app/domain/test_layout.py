import hashlib
import random
from collections import Counter
from pathlib import Path

import pytest

from app.domain.dataset import DatasetIndex, Reason, Split
from app.domain.errors import DatasetRejected
from app.domain.layout import Layout, build_index, natural
from app.reading.layout import assign, index_folder, load_index


def images(folder: str, count: int) -> list[str]:
    return [f"{folder}/{number}.jpg" for number in range(count)]


def counts(layout: Layout) -> dict[tuple[str, str | None], int]:
    return dict(Counter((str(p.split), p.label) for p in layout.placements.values()))


def placed(layout: Layout) -> dict[str, tuple[str, str | None]]:
    return {path: (str(p.split), p.label) for path, p in layout.placements.items()}


def ids(layout: Layout) -> dict[str, str]:
    return {path: hashlib.sha256(path.encode()).hexdigest() for path in layout.placements}


class TestFolders:
    def test_given_splits_are_kept(self) -> None:
        paths = [f"{split}/{name}/1.jpg" for split in ("train", "val", "test") for name in ("cat", "dog")]
        layout = assign(paths)
        assert placed(layout) == {path: (path.split("/")[0], path.split("/")[1]) for path in paths}
        assert layout.split_source == "given"
        assert layout.classes == ("cat", "dog")

    @pytest.mark.parametrize("name", ["val", "valid", "validation", "Valid"])
    def test_people_spell_validation_in_several_ways(self, name: str) -> None:
        layout = assign(["Train/a/1.jpg", "Train/b/1.jpg", f"{name}/a/2.jpg", f"{name}/b/2.jpg", "TEST/a/3.jpg"])
        assert counts(layout)["val", "a"] == 1
        assert counts(layout)["test", "a"] == 1

    @pytest.mark.parametrize("prefix", ["my data/", "outer/inner/"])
    def test_looks_through_a_wrapping_folder(self, prefix: str) -> None:
        inner = [*images("cat", 10), *images("dog", 10)]
        layout = assign([prefix + path for path in inner])
        assert layout.classes == ("cat", "dog")
        assert counts(layout)["train", "cat"] == 7

    def test_a_wrapping_folder_beside_junk_and_stray_pictures(self) -> None:
        layout = assign(
            [
                "w/cat/1.jpg",
                "w/dog/1.jpg",
                "w/cover.jpg",
                "__MACOSX/w/cat/._1.jpg",
                "w/cat/.hidden.jpg",
                "w/dog/Thumbs.db",
            ]
        )
        assert placed(layout) == {"w/cat/1.jpg": ("train", "cat"), "w/dog/1.jpg": ("train", "dog")}
        assert layout.skipped == {"w/cover.jpg": Reason("is in no class folder")}

    def test_deeper_folders_belong_to_the_class(self) -> None:
        layout = assign(["cat/2023/may/1.jpg", "dog/1.jpg"])
        assert placed(layout)["cat/2023/may/1.jpg"] == ("train", "cat")

    @pytest.mark.parametrize(
        "path", ["unlabeled/1.jpg", "unlabelled/a/b/1.jpg", "Unlabeled/1.jpg", "cat/unlabeled/1.jpg"]
    )
    def test_unlabelled_beside_class_folders(self, path: str) -> None:
        assert placed(assign(["cat/1.jpg", "dog/1.jpg", path]))[path] == ("unlabelled", None)

    @pytest.mark.parametrize("path", ["unlabeled/1.jpg", "train/unlabeled/1.jpg", "unlabelled/deep/er/1.jpg"])
    def test_unlabelled_beside_or_in_train(self, path: str) -> None:
        assert placed(assign(["train/cat/1.jpg", "train/dog/1.jpg", path]))[path] == ("unlabelled", None)

    def test_unlabelled_beside_a_wrapping_folder(self) -> None:
        layout = assign(["w/cat/1.jpg", "w/dog/1.jpg", "unlabeled/1.jpg"])
        assert layout.classes == ("cat", "dog")

    def test_a_train_among_vehicles_is_a_class(self) -> None:
        assert assign(["bus/1.jpg", "car/1.jpg", "train/1.jpg"]).classes == ("bus", "car", "train")

    def test_class_folders_beside_a_test_folder_are_training_images(self) -> None:
        layout = assign(["cat/1.jpg", "dog/1.jpg", "test/cat/2.jpg", "test/dog/2.jpg"])
        assert placed(layout)["cat/1.jpg"] == ("train", "cat")
        assert placed(layout)["test/cat/2.jpg"] == ("test", "cat")

    def test_what_stands_beside_train_is_left_out_and_said(self) -> None:
        layout = assign(["train/cat/1.jpg", "train/dog/1.jpg", "extra/1.jpg"])
        assert list(layout.skipped) == ["extra/1.jpg"]

    def test_a_class_without_training_images_is_left_out_and_said(self) -> None:
        layout = assign(["train/cat/1.jpg", "train/dog/1.jpg", "test/cat/2.jpg", "test/Dog/2.jpg"])
        assert layout.classes == ("cat", "dog")
        assert list(layout.skipped) == ["test/Dog/2.jpg"]
        assert any("spelled alike" in warning for warning in layout.warnings)

    def test_classes_are_in_natural_order(self) -> None:
        assert assign([f"{name}/1.jpg" for name in ("10", "2", "1", "b", "A")]).classes == ("1", "2", "10", "A", "b")
        assert sorted(["img12", "img2", "Img1"], key=natural) == ["Img1", "img2", "img12"]


class TestRefusals:
    def test_no_class_folders(self) -> None:
        with pytest.raises(DatasetRejected, match="no class") as caught:
            assign(["1.jpg", "2.jpg"])
        assert "one folder per class" in (caught.value.hint or "")

    def test_images_directly_in_train_and_test(self) -> None:
        with pytest.raises(DatasetRejected, match="no class"):
            assign(["train/1.jpg", "test/1.jpg"])

    def test_only_one_class(self) -> None:
        with pytest.raises(DatasetRejected, match="only one class, 'cat'"):
            assign(["cat/1.jpg", "cat/2.jpg", "unlabeled/1.jpg"])

    def test_only_unlabelled_images(self) -> None:
        with pytest.raises(DatasetRejected, match="no class"):
            assign(["unlabeled/1.jpg"])

    def test_no_training_images(self) -> None:
        with pytest.raises(DatasetRejected, match="no training images"):
            assign(["test/cat/1.jpg", "test/dog/1.jpg"])


class TestSplits:
    def test_none_given_makes_test_and_val_of_each_class(self) -> None:
        layout = assign([*images("cat", 100), *images("dog", 20)])
        assert counts(layout) == {
            ("train", "cat"): 70, ("val", "cat"): 10, ("test", "cat"): 20,
            ("train", "dog"): 14, ("val", "dog"): 2, ("test", "dog"): 4,
        }  # fmt: skip
        assert layout.split_source == "stratified, seed 0"
        assert not layout.warnings

    def test_train_and_test_given_makes_val_of_train(self) -> None:
        layout = assign([*images("train/cat", 20), *images("train/dog", 6), *images("test/cat", 3), "test/dog/1.jpg"])
        assert counts(layout)["val", "cat"] == 3
        assert counts(layout)["val", "dog"] == 1
        assert counts(layout)["test", "cat"] == 3
        assert layout.split_source == "given; val stratified, seed 0"

    def test_train_and_val_given_makes_test_of_train(self) -> None:
        layout = assign([*images("train/cat", 20), *images("train/dog", 10), *images("val/cat", 3), "val/dog/1.jpg"])
        assert (counts(layout)["test", "cat"], counts(layout)["test", "dog"]) == (4, 2)
        assert (counts(layout)["val", "cat"], counts(layout)["val", "dog"]) == (3, 1)

    def test_only_train_given_makes_both(self) -> None:
        layout = assign([*images("train/cat", 10), *images("train/dog", 10)])
        assert counts(layout)["test", "cat"] == 2
        assert layout.split_source == "stratified, seed 0"

    @pytest.mark.parametrize("count", [1, 2, 4])
    def test_few_labels_all_stay_in_train(self, count: int) -> None:
        layout = assign([*images("train/cat", count), *images("train/dog", count), "test/cat/t.jpg", "test/dog/t.jpg"])
        assert counts(layout)["train", "cat"] == count
        assert layout.split_source == "given"
        assert any("no val images" in w and "agreement with the teacher" in w for w in layout.warnings)

    def test_a_small_class_keeps_its_images_beside_a_large_one(self) -> None:
        layout = assign([*images("cat", 50), *images("dog", 3)])
        assert counts(layout)["train", "dog"] == 3
        assert ("test", "dog") not in counts(layout)
        assert any("Classes without test images: 1 ('dog')" in w for w in layout.warnings)

    def test_does_not_depend_on_the_order_of_files(self) -> None:
        paths = [*images("cat", 40), *images("dog", 40)]
        shuffled = random.Random(1).sample(paths, len(paths))
        assert placed(assign(paths)) == placed(assign(shuffled))

    def test_another_seed_draws_another_split(self) -> None:
        paths = [*images("cat", 40), *images("dog", 40)]
        assert placed(assign(paths, seed=1)) == placed(assign(paths, seed=1))
        assert placed(assign(paths, seed=1)) != placed(assign(paths, seed=2))

    def test_with_content_hashes_names_do_not_matter(self) -> None:
        old = [*images("cat", 40), *images("dog", 40)]
        new = {path: path.replace(".jpg", "-renamed.png") for path in old}
        before = assign(old, keys={path: str(i) for i, path in enumerate(old)})
        after = assign(new.values(), keys={new[path]: str(i) for i, path in enumerate(old)})
        assert {new[path]: p for path, p in before.placements.items()} == after.placements

    def test_copies_of_an_image_stay_in_train(self) -> None:
        paths = [*images("cat", 40), *images("dog", 40)]
        keys = {path: str(i // 2) if i < 20 else str(i) for i, path in enumerate(paths)}
        for seed in range(5):
            layout = assign(paths, seed=seed, keys=keys)
            assert {layout.placements[path].split for path in paths[:20]} == {Split.TRAIN}
            assert counts(layout)["test", "cat"] == 8


class TestIndex:
    def test_numbers_classes_in_order(self) -> None:
        layout = assign(["10/1.jpg", "2/1.jpg", "unlabeled/1.jpg"])
        index = build_index(layout, ids(layout))
        assert index.classes == ("2", "10")
        assert {(s.path, s.label) for s in index.samples} == {
            ("10/1.jpg", 1),
            ("2/1.jpg", 0),
            ("unlabeled/1.jpg", None),
        }

    def test_digest_tells_content_not_names(self) -> None:
        layout = assign([*images("cat", 10), *images("dog", 10)])
        index = build_index(layout, ids(layout))
        renamed = build_index(
            layout, ids(layout), {path: f"images/{i}.jpg" for i, path in enumerate(layout.placements)}
        )
        assert index.digest == renamed.digest
        assert [s.id for s in index.samples] == [s.id for s in renamed.samples]
        assert len(index.digest) == 64

    @pytest.mark.parametrize("change", ["class", "content", "split"])
    def test_digest_changes_with(self, change: str) -> None:
        layout = assign([*images("cat", 10), *images("dog", 10)])
        before = build_index(layout, ids(layout)).digest
        other = assign(
            [*images("cow" if change == "class" else "cat", 10), *images("dog", 10)], seed=int(change == "split")
        )
        changed = ids(other)
        if change == "class":
            changed = {path: ids(layout)[path.replace("cow", "cat")] for path in changed}
        if change == "content":
            changed["cat/0.jpg"] = "f" * 64
        assert build_index(other, changed).digest != before


class TestFolder:
    def make(self, folder: Path, *paths: str) -> None:
        for path in paths:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(path.encode())

    def test_indexes_image_files_only(self, tmp_path: Path) -> None:
        self.make(tmp_path, "w/cat/1.JPG", "w/dog/1.png", "w/dog/notes.txt", "w/README.md", "w/.git/a.jpg")
        (tmp_path / "w/cat/link.jpg").symlink_to(tmp_path / "w/cat/1.JPG")
        index = index_folder(tmp_path)
        assert {s.path for s in index.samples} == {"w/cat/1.JPG", "w/dog/1.png"}
        assert {s.id for s in index.samples} >= {hashlib.sha256(b"w/cat/1.JPG").hexdigest()}

    def test_reads_labels_csv(self, tmp_path: Path) -> None:
        self.make(tmp_path, "img/1.jpg", "img/2.jpg")
        (tmp_path / "labels.csv").write_text("path,label\nimg/1.jpg,a\nimg/2.jpg,b\n", encoding="utf-8-sig")
        assert index_folder(tmp_path).classes == ("a", "b")

    def test_reads_labels_that_are_not_utf8(self, tmp_path: Path) -> None:
        self.make(tmp_path, "1.jpg", "2.jpg")
        (tmp_path / "labels.csv").write_bytes(b"path,label\n1.jpg,caf\xe9\n2.jpg,tea\n")
        assert index_folder(tmp_path).classes == ("caf\u00e9", "tea")

    def test_refuses_a_folder_that_can_be_read_in_several_ways(self, tmp_path: Path) -> None:
        self.make(tmp_path, "a/airfield/1.jpg", "a/alley/1.jpg", "b/beach/1.jpg", "b/bakery/1.jpg")
        with pytest.raises(DatasetRejected, match="not clear what the classes are"):
            index_folder(tmp_path)

    def test_prefers_an_index(self, tmp_path: Path) -> None:
        self.make(tmp_path, *images("cat", 3), *images("dog", 3))
        index = index_folder(tmp_path)
        assert load_index(tmp_path) == index
        written = DatasetIndex(classes=("x", "y"), samples=index.samples[:1])
        (tmp_path / "index.json").write_text(written.model_dump_json())
        assert load_index(tmp_path) == written

    def test_refuses_a_damaged_index(self, tmp_path: Path) -> None:
        (tmp_path / "index.json").write_text("{}")
        with pytest.raises(DatasetRejected, match=r"index\.json"):
            load_index(tmp_path)

    def test_refuses_an_empty_folder(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetRejected):
            load_index(tmp_path)
