"""The way to a first student as one small picture: a capture of each step, with its words and time."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

COLUMNS, WIDTH, HEIGHT = 3, 460, 288
GAP, CAPTION = 22, 46
INK, SOFT, LINE, GROUND = "#1d2433", "#566073", "#dfe3ea", "#f5f6f9"
COLOURS = 160
"""Of a page in one scheme there are few; with a palette the picture stays small."""


@dataclass(frozen=True)
class Step:
    """What was done, when, and what the page then looked like."""

    words: str
    seconds: float
    capture: bytes


def draw(steps: Sequence[Step], path: Path) -> None:
    """Write the PNG, three steps a row."""
    rows = -(-len(steps) // COLUMNS)
    size = (COLUMNS * (WIDTH + GAP) + GAP, rows * (HEIGHT + CAPTION + GAP) + GAP)
    strip = Image.new("RGB", size, GROUND)
    pen, bold, plain = ImageDraw.Draw(strip), ImageFont.load_default(17), ImageFont.load_default(14)
    for number, step in enumerate(steps):
        x, y = GAP + number % COLUMNS * (WIDTH + GAP), GAP + number // COLUMNS * (HEIGHT + CAPTION + GAP)
        minutes, seconds = divmod(round(step.seconds), 60)
        pen.text((x, y), f"{number + 1}  {step.words}", INK, bold)
        pen.text((x + WIDTH, y + 2), f"{minutes}:{seconds:02}", SOFT, plain, anchor="ra")
        picture = Image.open(BytesIO(step.capture)).convert("RGB").resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
        strip.paste(picture, (x, y + CAPTION - 18))
        pen.rectangle((x - 1, y + CAPTION - 19, x + WIDTH, y + CAPTION - 18 + HEIGHT), outline=LINE)
    strip.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
