"""Random archives of classes, splits, wrappers and tables whose maker knows the truth.

`python -m tests.unit.app.reading.trees 2000` tries that many and counts what came of them.
"""

import random
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from app.domain.dataset import Split
from app.domain.errors import DatasetRejected
from app.reading.choose import Choice, choose
from app.reading.context import Context
from app.reading.listing import Listing
from app.reading.reading import Reading

CLASSES = [
    *("cat", "dog", "Café crème", "tea", "no tumor", "glioma", "apple pie", "Gala", "Granny Smith", "T-shirt", "A: ok"),
    *(
        "trenchcoat",
        "vehicle",
        "001.Albatross",
        "n02085620-Chihuahua",
        "苹果",
        "柠檬",
        "Äpfel",
        "healthy",
        "scab",
        "x1",
    ),
    *("class_a", "class_b", "good", "defect", "train station", "test tube", "data center", "0", "1", "2", "42", "Dog"),
]
SPLITS = [
    {Split.TRAIN: "train", Split.VAL: "val", Split.TEST: "test"},
    {Split.TRAIN: "Training", Split.TEST: "Testing"},
    {Split.TRAIN: "train_images", Split.VAL: "valid_images", Split.TEST: "test_images"},
    {Split.TRAIN: "fruit_train", Split.TEST: "fruit_test"},
    {Split.TRAIN: "Entraînement", Split.VAL: "validation", Split.TEST: "test"},
    {Split.TRAIN: "entrenamiento", Split.TEST: "prueba"},
    {Split.TRAIN: "Trainingsdaten", Split.TEST: "Testdaten"},
    {Split.TRAIN: "train2017", Split.VAL: "val2017"},
    {Split.TRAIN: "trainset", Split.TEST: "holdout"},
    {Split.TRAIN: "train", Split.VAL: "dev", Split.TEST: "eval"},
]
GROUPS = ["a", "b", "group 1", "site north", "2021", "indoor", "outdoor", "batch_3", "camera2"]
BELOW = ["2021", "2022", "front", "back", "part1", "session A"]
PATHS = ["path", "file_name", "filename", "image", "image_id", "Image Name", "id", "filepath", "img"]
LABELS = ["label", "class", "category", "breed", "diagnosis", "Class Name", "target", "choice", "species"]
Truth = dict[str, tuple[str | None, Split | None]]
"""Path to class and, where the archive tells it, split."""


@dataclass
class Tree:
    """An archive and what it means."""

    truth: Truth = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)
    strays: set[str] = field(default_factory=set)
    made: str = ""

    @property
    def listing(self) -> Listing:
        return Listing(tuple(sorted({*self.truth, *self.strays})), self.texts)


class Outcome(NamedTuple):
    """What the reader made of it."""

    how: str
    """right, asked, rejected, wrong but warned, wrong."""
    detail: str = ""


def make(seed: int) -> Tree:
    """The archive of a number."""
    chance = random.Random(seed)
    names = chance.sample(CLASSES, chance.randint(2, 7))
    kind = chance.choice(["folders", "folders", "grouped", "divided", "table", "table", "table and folders"])
    splits = chance.choice(SPLITS) if chance.random() < 0.5 else {}
    tree = Tree(made=f"{kind}, splits {list(splits.values())}, classes {names}")
    style = chance.choice(["number", "class and number", "hash"])
    groups = chance.sample(GROUPS, 2)
    deep = chance.sample(BELOW, chance.randint(1, 3))
    group_of = {name: chance.choice(groups) for name in names}
    misleading = chance.sample(GROUPS, 2)
    inside = bool(splits) and kind == "folders" and chance.random() < 0.2
    number = 0
    for name in names:
        for split in splits or {None: ""}:
            for _ in range(chance.randint(2, 6)):
                number += 1
                parts = {
                    "folders": [name, splits[split]] if inside and split else [name],
                    "grouped": [group_of[name], name],
                    "divided": [name, chance.choice(deep)],
                    "table": ["images"] if chance.random() < 2 else [],
                    "table and folders": [chance.choice(misleading)],
                }[kind]
                above = [splits[split]] if split and not inside else []
                if kind.startswith("table") and above and parts == ["images"]:
                    parts = []
                path = "/".join([*above, *parts, _file(chance, style, name, number)])
                tree.truth[path] = name, split
    if kind.startswith("table"):
        _add_table(tree, chance)
    _wrap(tree, chance)
    return tree


def _file(chance: random.Random, style: str, name: str, number: int) -> str:
    stem = {"number": f"{number:04d}", "class and number": f"{name}_{number}", "hash": f"{chance.getrandbits(60):015x}"}
    return f"{stem[style]}{chance.choice(['.jpg', '.JPG', '.png', '.jpeg'])}"


def _add_table(tree: Tree, chance: random.Random) -> None:
    """A table that tells the classes, in some dialect."""
    delimiter = chance.choice([",", ",", ";", "\t"])
    spell = chance.choice(["path", "path", "name", "absolute", "windows", "stem", "lower"])
    columns = ["path", "label"]
    extra = chance.choice([[], [], ["photographer"], ["", "age"], ["notes", "width", "height"]])
    heading = [chance.choice(PATHS), chance.choice(LABELS)]
    with_split = any(split for _, split in tree.truth.values()) and chance.random() < 0.3
    names_differ = len({path.rpartition("/")[2].casefold() for path in tree.truth}) == len(tree.truth)
    if spell in ("name", "stem") and not names_differ:
        spell = "path"
    order = [*columns, *(["split"] if with_split else []), *extra]
    if chance.random() < 0.3:
        chance.shuffle(order)
    called = {"path": heading[0], "label": heading[1]}
    lines = [] if chance.random() < 0.15 and not extra and not with_split else [[called.get(c, c) for c in order]]
    paths = list(tree.truth)
    chance.shuffle(paths)
    blank = chance.random() < 0.15
    for number, path in enumerate(paths):
        name, split = tree.truth[path]
        label = name or ""
        if blank and number % 11 == 10:
            tree.truth[path] = None, split
            label = ""
        values = {
            "path": _spelled(path, spell),
            "label": label,
            "split": str(split or "train"),
            "photographer": chance.choice("AB"),
            "": str(number),
            "age": str(chance.randint(1, 90)),
            "notes": "seen",
            "width": "640",
            "height": "480",
        }
        lines.append([values[c] for c in order])
        if chance.random() < 0.02:
            lines.append(lines[-1])
    if chance.random() < 0.2:
        for i in range(2):
            lost = {"path": f"lost_{i}.jpg", "label": chance.choice(["cat", "dog"]), "split": "train"}
            lines.append([lost.get(c, "") for c in order])
    end = chance.choice(["\n", "\r\n"])
    quote = chance.random() < 0.3
    rows = [delimiter.join(_cell(cell, delimiter, quote=quote) for cell in line) for line in lines]
    text = end.join(rows) + end
    encoding = chance.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16"])
    file = chance.choice(["labels.csv", "train.csv", "data.csv", "annotations.tsv", "metadata.csv", "Export (3).csv"])
    tree.texts[file] = text.encode(encoding)
    tree.made += f", {file} {order} by {spell}, {delimiter!r}"


def _spelled(path: str, how: str) -> str:
    name = path.rpartition("/")[2]
    return {
        "path": path,
        "name": name,
        "absolute": f"/home/me/data/{path}",
        "windows": "C:\\data\\" + path.replace("/", "\\"),
        "stem": name.rpartition(".")[0],
        "lower": path.rpartition(".")[0] + "." + path.rpartition(".")[2].lower(),
    }[how]


def _cell(text: str, delimiter: str, *, quote: bool) -> str:
    return '"' + text.replace('"', '""') + '"' if quote or delimiter in text else text


def _wrap(tree: Tree, chance: random.Random) -> None:
    """Into folders that say nothing, with what people leave beside them."""
    wrapper = "".join(f"{part}/" for part in chance.sample(["My data", "archive", "v2"], chance.choice([0, 0, 1, 2])))
    tree.truth = {wrapper + path: value for path, value in tree.truth.items()}
    tree.texts = {wrapper + path: data for path, data in tree.texts.items()}
    if chance.random() < 0.2:
        tree.strays.add("cover.jpg")
    if wrapper and chance.random() < 0.2:
        tree.strays.add("docs/figure.png")
    if chance.random() < 0.2:
        for number in range(3):
            tree.truth[f"{wrapper}unlabeled/u{number}.jpg"] = None, None
    if chance.random() < 0.3:
        tree.texts[f"{wrapper}README.md"] = b"# Data\nTake care, it is 42.\n"
    if chance.random() < 0.1:
        tree.texts[f"{wrapper}settings.json"] = b'{"a": 1}'


def judge(tree: Tree) -> Outcome:
    """How the archive was read, compared with the truth."""
    try:
        choice: Choice = choose(Context(tree.listing))
    except DatasetRejected as error:
        return Outcome("rejected", error.detail)
    if choice.asks:
        fits = [reading.id for reading in (choice.reading, *choice.others) if not _wrong(reading, tree)]
        return Outcome("asked" if fits else "asked, without the right one", choice.reading.id)
    wrong = _wrong(choice.reading, tree)
    if not wrong:
        return Outcome("right", choice.reading.id)
    return Outcome(
        "wrong but warned" if choice.warnings else "wrong", f"{choice.reading.id}: {wrong} {choice.warnings}"
    )


def _wrong(reading: Reading, tree: Tree) -> str:
    """The first image whose class or split is not the true one; images that are left out are not wrong."""
    for path, placement in reading.placements.items():
        if path not in tree.truth:
            if placement.label is not None:
                return f"{path} is a stray, read as {placement.label!r}"
            continue
        name, split = tree.truth[path]
        if placement.label != name:
            return f"{path} is {name!r}, read as {placement.label!r}"
        if name is not None and split is not None and placement.split is not split:
            return f"{path} is {split}, read as {placement.split}"
    labelled = sum(name is not None for name, _ in tree.truth.values())
    return "" if reading.counts.total() >= 0.9 * labelled else f"{reading.counts.total()} of {labelled} images read"


def main(count: int) -> int:
    outcomes: Counter[str] = Counter()
    for seed in range(count):
        tree = make(seed)
        outcome = judge(tree)
        outcomes[outcome.how] += 1
        if outcome.how != "right":
            sys.stdout.write(f"{seed} {outcome.how}: {outcome.detail[:300]}\n    {tree.made}\n")
    sys.stdout.write(f"{dict(outcomes)}\n")
    return outcomes["wrong"]


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
