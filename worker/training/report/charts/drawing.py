"""A few shapes as SVG, on a page of their own or inside another one.

Drawn by hand and not by a plotting library: text stays text in any script, nothing depends on installed fonts, a page
in dark colours can restyle what it embeds, and each takes a millisecond.
"""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from html import escape

from app.reports.text import visible

LIGHT = {
    "ink": "#1d2433",
    "soft": "#5b6475",
    "line": "#dfe3ea",
    "paper": "#ffffff",
    # blue and vermilion of Okabe and Ito (2008): told apart with any kind of colour vision
    "one": "#0072b2",
    "two": "#d55e00",
}
"""By role; a page that embeds a drawing gives each role a CSS variable of its name."""
FONT = 'system-ui, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif'
_RULES = (
    "text{{font-family:{font};fill:{ink}}} .soft{{fill:{soft}}} .paper{{fill:{paper}}} .one{{fill:{one}}} "
    ".two{{fill:{two}}} .grid{{stroke:{line};fill:none}} .axis{{stroke:{soft};fill:none}} "
    ".line-one{{stroke:{one};fill:none}} .line-two{{stroke:{two};fill:none}} .hollow-two{{stroke:{two};fill:{paper}}}"
)


def style(values: Mapping[str, str], *, within: str = "") -> str:
    """The rules of all drawings as CSS. `within` is a selector, where a page has other things beside them."""
    rules = _RULES.format(font=FONT, **values)
    return " ".join(f"{within} {rule}".strip() + "}" for rule in rules.split("}")[:-1])


class Drawing:
    """Shapes in pixels from the upper left corner. `role` is a rule of `style`; `tip` is shown under the mouse."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.width = self.height = 0.0
        self._shapes: list[str] = []

    def rect(
        self, x: float, y: float, width: float, height: float, role: str, *, opacity: float = 1, tip: str = ""
    ) -> None:
        shade = "" if opacity >= 1 else f' fill-opacity="{_n(opacity)}"'
        self._add("rect", f'x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"{shade}', role, tip)

    def circle(self, x: float, y: float, radius: float, role: str, *, tip: str = "") -> None:
        self._add("circle", f'cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}"', role, tip)

    def line(self, x1: float, y1: float, x2: float, y2: float, role: str, *, width: float = 1, dash: str = "") -> None:
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self._add(
            "line",
            f'x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}" stroke-width="{_n(width)}"{dashed}',
            role,
        )

    def path(self, points: Sequence[tuple[float, float]], role: str, *, width: float = 2) -> None:
        through = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
        self._add("polyline", f'points="{through}" stroke-width="{_n(width)}" stroke-linejoin="round"', role)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        role: str = "",
        *,
        size: float = 12,
        anchor: str = "start",
        turn: float = 0,
        bold: bool = False,
        tip: str = "",
    ) -> None:
        """`y` is the baseline. `turn`: degrees clockwise about (x, y)."""
        how = f'x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}"'
        how += f' text-anchor="{anchor}"' if anchor != "start" else ""
        how += f' transform="rotate({_n(turn)} {_n(x)} {_n(y)})"' if turn else ""
        how += ' font-weight="600"' if bold else ""
        self._add("text", how, role, tip, escape(visible(text)))

    def embedded(self) -> str:
        """For a page that has the rules of `style`."""
        return self._svg("")

    def file(self) -> str:
        """With white paper and its own rules: the same wherever it is opened."""
        paper = f'<style>{style(LIGHT)}</style>\n<rect width="100%" height="100%" class="paper"/>\n'
        return self._svg(paper) + "\n"

    def _svg(self, inside: str) -> str:
        title = escape(visible(self.title))
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(self.width)} {_n(self.height)}" '
            f'width="{_n(self.width)}" height="{_n(self.height)}" role="img" aria-label="{title}">\n'
            f"<title>{title}</title>\n{inside}" + "\n".join(self._shapes) + "\n</svg>"
        )

    def _add(self, tag: str, how: str, role: str, tip: str = "", text: str = "") -> None:
        role = f' class="{role}"' if role else ""
        tip = f"<title>{escape(visible(tip))}</title>" if tip else ""
        inside = text + tip
        self._shapes.append(f"<{tag}{role} {how}>{inside}</{tag}>" if inside else f"<{tag}{role} {how}/>")


def text_width(texts: Sequence[str], size: float) -> float:
    """Pixels that the longest of these takes at most, roughly: fonts differ."""
    return max((_length(text) for text in texts), default=0) * 0.58 * size


def shortened(text: str, most: int) -> str:
    """At most `most` letters, the middle given up: what tells names apart stands at either end."""
    text = visible(text)
    if _length(text) <= most:
        return text
    head, tail = text[: math.ceil(most / 2)], text[-(most // 2 - 1) :]
    while _length(head) > most / 2:
        head = head[:-1]
    while _length(tail) > most / 2 - 1:
        tail = tail[1:]
    return f"{head}…{tail}"


def percent(share: float) -> str:
    """`83 %`; one digit more where it would read as all or nothing though it is not."""
    rounded = round(100 * share)
    if rounded in {0, 100} and share not in {0.0, 1.0}:
        return f"{100 * share:.1f} %"
    return f"{rounded} %"


def _length(text: str) -> float:
    """In letters; Chinese, Japanese and Korean ones are almost twice as wide."""
    return sum(1.8 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _n(value: float) -> str:
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text
