"""How people call splits, images without a label, and folders that say nothing about classes."""

import re
import unicodedata
from collections.abc import Collection, Iterable
from functools import lru_cache

from app.domain.dataset import Split


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_WORDS = {
    Split.TRAIN: "train training trainings trn entrainement apprentissage entrenamiento addestramento treino "
    "treinamento 训练 训练集 訓練 学習",
    Split.VAL: "val valid validation validate dev devel validierung validierungs validacion validacao 验证 验证集 検証",
    Split.TEST: "test testing tst eval evaluation evaluierung holdout heldout prueba pruebas teste 测试 测试集 評価",
    Split.UNLABELLED: "unlabeled unlabelled unannotated nolabel",
}
SPLIT_WORDS = {word: split for split, words in _WORDS.items() for word in words.split()}
"""In English, German, French, Spanish, Italian, Portuguese, Chinese and Japanese; compared without case and accents."""
_NEUTRAL = _set(
    "set sets image images img imgs picture pictures pic pics photo photos data dataset datasets seg split "
    "splits folder file files jpg jpeg jpgs png crop crops cropped resized small full final new original raw "
    "the of for public private part stage bilder bild daten datensatz satz menge donnees imagenes datos "
    "conjunto de des d jeu base dir"
)
"""Beside the word of a split they change nothing: `test_images`, `training_set`, `seg_train`, `val2017`."""
ROLES = _set(
    "images image img imgs jpegimages pictures photos data dataset files jpg jpeg png input inputs raw "
    "original originals bilder fotos imagenes"
)
"""What folders of images are called that are no classes."""
MASKS = _set(
    "mask masks label labels annotation annotations groundtruth ground_truth gt segmentation segmentations "
    "segmentationclass segmentationobject trimaps"
)
"""What folders beside them are called that hold drawings of objects."""
_PARTS = _set(
    "part parts batch chunk shard set folder split group session archive fold camera cam page teil partie parte"
)
STRAYS = _set(
    "doc docs documentation sample samples example examples screenshot screenshots asset assets figure "
    "figures preview previews readme readme_images misc notes thumbnails thumbs"
)
"""What folders are called that people pack by the way."""


def split_of(name: str) -> Split | None:
    """The split that a folder, a file or a value of a column names, alone or with words that say nothing."""
    found = _parted(name)
    return found[0] if found is not None and not found[1] else None


def splits_of(names: Iterable[str]) -> dict[str, Split]:
    """Those of the names of siblings that are splits. Among siblings also `fruit_train` and `fruit_test` are: beside
    the word of their split they say the same."""
    parted = {name: found for name in names if (found := _parted(name)) is not None}
    rests: dict[tuple[str, ...], set[Split]] = {}
    for split, rest in parted.values():
        rests.setdefault(rest, set()).add(split)
    return {name: split for name, (split, rest) in parted.items() if not rest or len(rests[rest]) > 1}


def beside_split(name: str) -> tuple[str, ...]:
    """The words of a split's name that are not the split's and say something."""
    found = _parted(name)
    return () if found is None else found[1]


def words_of(name: str) -> tuple[str, ...]:
    """The words of a name that say something; none of `images` or `dataset_2`."""
    return tuple(word for word in _every_word(name) if word not in _NEUTRAL and not word.isdigit())


def near_split(name: str) -> Split | None:
    """The split that a name may mean: it is misspelt (`vaild`), or stands beside words of its own (`train_part1`)."""
    found = _parted(name)
    if found is not None:
        return found[0]
    words = [word for word in re.findall(r"[a-z]{4,}", folded(name)) if word not in _NEUTRAL]
    near = {split for word in words for known, split in SPLIT_WORDS.items() if _is_misspelt(word, known)}
    return near.pop() if len(near) == 1 else None


def _is_misspelt(word: str, known: str) -> bool:
    """Letters exchanged, or one left out or doubled; `drain` and `trail` are words of their own."""
    if len(known) < 4 or word[0] != known[0]:
        return False
    if sorted(word) == sorted(known):
        return True
    short, long = sorted((word, known), key=len)
    return len(long) == len(short) + 1 and any(long[:i] + long[i + 1 :] == short for i in range(len(long)))


def are_parts(names: Collection[str]) -> bool:
    """Whether names are those of parts of one whole: `images_001` and `images_002`, `part 1` and `part 2`."""
    matches = [re.fullmatch(r"(.*?)[\W_]*[0-9]+", folded(name)) for name in names]
    stems = {match[1] for match in matches if match is not None}
    if len(names) < 2 or None in matches or len(stems) != 1:
        return False
    words = re.findall(r"[^\W_]+", stems.pop())
    return bool(words) and words[-1] in _PARTS | ROLES


def is_unlabelled(name: str, also: Collection[str] = ()) -> bool:
    """Whether a folder or a label says that there is no label. `also`: further names, folded."""
    return folded(name) in also or split_of(name) is Split.UNLABELLED


def folded(name: str) -> str:
    """Without case, accents, outer space and characters that cannot be seen, such as a zero-width space."""
    if name.isascii():
        return name.strip().lower()
    apart = unicodedata.normalize("NFKD", name)
    return (
        "".join(c for c in apart if not unicodedata.combining(c) and unicodedata.category(c) != "Cf").strip().casefold()
    )


def is_number(name: str) -> bool:
    return name.isascii() and len(name) <= 18 and bool(re.fullmatch(r"-?[0-9]+(\.0*)?", name))


@lru_cache(2**14)
def _parted(name: str) -> tuple[Split, tuple[str, ...]] | None:
    """The one split that a name has a word for, and the rest of its words."""
    if len(name) > 64:
        return None
    words = _every_word(name)
    found: set[Split] = set()
    rest: list[str] = []
    if words in (["no", "label"], ["not", "labeled"], ["not", "labelled"], ["without", "label"]):
        return Split.UNLABELLED, ()
    for word in words:
        split = _split_of_word(word)
        if split is not None:
            found.add(split)
        elif word not in _NEUTRAL and not word.isdigit():
            rest.append(word)
    return (found.pop(), tuple(rest)) if len(found) == 1 else None


def _every_word(name: str) -> list[str]:
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[^\W_]+", folded(apart).replace("hold-out", "holdout").replace("hold_out", "holdout"))


def _split_of_word(word: str) -> Split | None:
    """`train`, and also `trainset`, `testdata`, `train2017`."""
    if word in SPLIT_WORDS:
        return SPLIT_WORDS[word]
    for known, split in SPLIT_WORDS.items():
        other = word.removeprefix(known) if word.startswith(known) else word.removesuffix(known)
        if (
            other != word
            and (other in _NEUTRAL or other.isdigit())
            and (len(known) > 3 or other in _NEUTRAL or known in ("val", "dev"))
        ):
            return split
    return None
