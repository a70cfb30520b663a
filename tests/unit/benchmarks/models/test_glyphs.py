"""Printed glyphs: the right fonts, and drawings that depend on the seed alone."""

from pathlib import Path

import pytest
import torch

from benchmarks.models.glyphs import CHARACTERS, Glyphs, draw, font_files, load_glyphs


@pytest.fixture(scope="module")
def fonts() -> list[Path]:
    return font_files()


@pytest.fixture(scope="module")
def glyphs(fonts: list[Path]) -> Glyphs:
    return load_glyphs([path for path in fonts if path.stem in ("DejaVuSans-Bold", "cmtt10")])


def drawn(glyphs: Glyphs, seed: int) -> torch.Tensor:
    return draw(glyphs, torch.arange(len(glyphs.labels_G)), 24, torch.Generator().manual_seed(seed))


class TestFonts:
    def test_leaves_out_fonts_that_draw_other_signs_for_letters_and_digits(self, fonts: list[Path]) -> None:
        names = {path.stem for path in fonts}
        assert {"DejaVuSans", "STIXGeneral", "cmr10"} <= names
        assert not {"cmsy10", "cmex10", "cmmi10", "LastResortHE-Regular", "STIXSizOneSymReg"} & names


class TestGlyphs:
    def test_holds_every_character_of_every_font(self, glyphs: Glyphs) -> None:
        assert glyphs.labels_G.bincount().tolist() == [2] * len(CHARACTERS)
        assert glyphs.fonts_G.bincount().tolist() == [len(CHARACTERS)] * 2

    def test_the_skeleton_lies_inside_the_glyph_and_is_thin(self, glyphs: Glyphs) -> None:
        outline, skeleton = glyphs.fields_G2SS.unbind(1)
        inside, bone = outline < 0, skeleton == 0
        assert not (bone & ~inside).any()
        assert (bone.flatten(1).sum(1) > 0).all()
        assert bone.sum() < inside.sum() / 4


class TestDraw:
    def test_gives_grey_images_between_black_and_white(self, glyphs: Glyphs) -> None:
        images = drawn(glyphs, 0)
        assert images.shape == (len(glyphs.labels_G), 3, 24, 24)
        assert 0 <= images.min() < 0.1
        assert 0.9 < images.max() <= 1
        assert torch.equal(images[:, 0], images[:, 2])

    def test_the_seed_decides_the_drawing(self, glyphs: Glyphs) -> None:
        assert torch.equal(drawn(glyphs, 5), drawn(glyphs, 5))
        assert not torch.equal(drawn(glyphs, 5), drawn(glyphs, 6))
