"""How a model card writes words and figures in either of its forms."""

import re
from typing import Any, Protocol

from markupsafe import Markup

from app.domain.evaluation import Interval
from app.reports.text import visible

_MARKUP = re.compile(r"([\\`*_{}\[\]()#+\-!|~$@:^=])")


class Form(Protocol):
    """How one of the card's forms writes text that is not ours."""

    def name(self, words: str) -> str: ...

    def say(self, sentence: str, **values: Any) -> str: ...


class _Html:
    def name(self, words: str) -> Markup:
        return Markup('<bdi dir="auto">{}</bdi>').format(visible(words))

    def say(self, sentence: str, **values: Any) -> Markup:
        return Markup("{}").format(sentence) if not values else Markup(sentence).format(**values)  # noqa: S704 # ours


class _Markdown:
    def name(self, words: str) -> str:
        """Escape it, so that no letter can be read as markup and no part as an address."""
        words = visible(words).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return re.sub(r"(?i)(www)\.", r"\1\.", _MARKUP.sub(r"\\\1", words))

    def say(self, sentence: str, **values: Any) -> str:
        return sentence.format(**values)


HTML: Form = _Html()
MARKDOWN: Form = _Markdown()


def share(value: float) -> str:
    """`83.4 %`"""
    return f"{100 * value:.1f} %"


def interval(ends: Interval) -> str:
    """`79.2 – 86.8 %`"""
    return f"{100 * ends[0]:.1f} – {100 * ends[1]:.1f} %"


def signed_points(difference: float) -> str:
    """`+1.2 points`, of a hundred; with a proper minus sign."""
    return f"{100 * difference:+.1f} points".replace("-", "−")


def pictures(count: int) -> str:
    return f"{count:,} image{'' if count == 1 else 's'}"
