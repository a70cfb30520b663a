"""In which encoding names and words are that do not say so: every way of reading them is scored by how many of the
characters are common ones. charset-normalizer needs longer texts than a few names of classes."""

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

_CLOSE = 0.12
"""Scores nearer than this tell little."""
_PAIRS = 0.08
"""For encodings in which not every pair of bytes is a character: that all are says something."""
_PREFERRED = {"cp850": 0.02, "cp1252": 0.01}
"""Of those that differ in few characters, the likelier."""
_COMMON_HANGUL = frozenset(
    "이다는을가의에고하지도로사한리나기은어자시서대인아정해수구그보라장소부일성전제조상과마동여우비주원학있관화모무용선세들안물적경신스트"
    "간진유치니발만거내중국위오차방실공문면양생개산계음미디분연영드교배재결회바파를민식입단터행년합체저려형불명색말입속러카타호토크레"
    "노두박김강초감포귤복숭딸당근양파버섯닭소돼말새쥐곰꽃나무잎손글씨숫자남녀포도참외수박오렌지레몬"
)
"""Syllables that Korean words are mostly made of; Chinese bytes read as Korean give rare ones."""


@dataclass(frozen=True)
class Guess:
    """How names are read."""

    encoding: str
    example: str
    score: float
    rivals: tuple[tuple[str, str], ...] = ()
    """Other encodings that fit nearly as well, each with the same name as it would read there."""


def guess(names: Iterable[bytes]) -> Guess | None:
    """The likeliest encoding of names that are not UTF-8; None where there is none."""
    parts = {part for name in names for part in name.replace(b"\\", b"/").split(b"/") if not part.isascii()}
    some = sorted(parts, key=lambda part: (len(part), part))[-500:]
    if not some:
        return None
    scored: list[tuple[float, str]] = []
    for encoding, score in _SCORES.items():
        try:
            texts = [part.decode(encoding) for part in some]
        except UnicodeDecodeError:
            continue
        pairs = _PAIRS if encoding in ("gbk", "big5", "cp932", "cp949") else 0.0
        scored.append((_mean(texts, score, encoding) + pairs, encoding))
    if not scored:
        return None
    scored.sort(key=lambda pair: -pair[0])
    best, encoding = scored[0]
    example = max(some, key=lambda part: sum(byte > 127 for byte in part))
    shown = example.decode(encoding)
    rivals = tuple(
        (other, text)
        for score, other in scored[1:]
        if best - score < _CLOSE and score > 0.3 and (text := example.decode(other)) != shown
    )
    return Guess(encoding, shown, best, rivals)


def _mean(texts: Sequence[str], score: Callable[[str, str, str], float], encoding: str) -> float:
    total, count = 0.0, 0
    for text in texts:
        for before, c, after in zip(f" {text}", text, f"{text[1:]} ", strict=False):
            if ord(c) > 127:
                total += score(c, before, after) + _PREFERRED.get(encoding, 0.0)
                count += 1
    return total / max(1, count)


def _gbk(c: str, before: str, after: str) -> float:
    data = c.encode("gbk", "replace")
    if len(data) != 2 or not _is_cjk(c):
        return 0.25 if _is_kana(c) else 0.0
    if 0xB0 <= data[0] <= 0xD7 and data[1] >= 0xA1:
        return 0.75
    return 0.45 if 0xD8 <= data[0] <= 0xF7 and data[1] >= 0xA1 else 0.1


def _big5(c: str, before: str, after: str) -> float:
    data = c.encode("big5", "replace")
    if len(data) != 2 or not _is_cjk(c):
        return 0.0
    return 0.72 if 0xA4 <= data[0] <= 0xC6 else 0.25


def _cp932(c: str, before: str, after: str) -> float:
    if "\uff61" <= c <= "\uff9f":  # half as wide: a single byte, which others' pairs fall apart into
        return 0.1
    if _is_kana(c):
        return 1.0
    data = c.encode("cp932", "replace")
    if len(data) != 2 or not _is_cjk(c):
        return 0.0
    return 0.8 if 0x88 <= data[0] <= 0x97 else 0.3


def _cp949(c: str, before: str, after: str) -> float:
    if "가" <= c <= "힣":
        return 1.0 if c in _COMMON_HANGUL else 0.4
    return 0.1 if _is_cjk(c) else 0.0


def _cyrillic(c: str, before: str, after: str) -> float:
    if not "\u0400" <= c <= "\u045f":
        return 0.0
    if (before.isascii() and before.isalpha()) or (after.isascii() and after.isalpha()):
        return 0.1  # nobody mixes the scripts in a word
    if c.isupper() and before.isalpha():
        return 0.2 if before.islower() else 0.5
    return 0.9 if "а" <= c.lower() <= "я" or c in "ёЁ" else 0.4


def _latin(c: str, before: str, after: str) -> float:
    if not c.isalpha() or "LATIN" not in unicodedata.name(c, ""):
        return 0.0
    if c.isupper() and before.islower():
        return 0.1
    if ord(before) > 127:  # two letters with accents in a row are rare
        return 0.3
    return 0.85 if c.lower() in "äöüßéèêëàâáãçñóòôõíìîïúùûåæøœ" else 0.5


def _is_cjk(c: str) -> bool:
    return "\u4e00" <= c <= "\u9fff"


def _is_kana(c: str) -> bool:
    return "\u3041" <= c <= "\u30fe"


_SCORES: dict[str, Callable[[str, str, str], float]] = {
    "gbk": _gbk,
    "big5": _big5,
    "cp932": _cp932,
    "cp949": _cp949,
    "cp866": _cyrillic,
    "cp1251": _cyrillic,
    "cp850": _latin,
    "cp437": _latin,
    "cp1252": _latin,
    "cp1250": _latin,
    "cp852": _latin,
}
