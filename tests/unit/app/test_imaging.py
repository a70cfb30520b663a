"""Every test decodes a real file made by Pillow, or by hand where Pillow would not write such a thing."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from app.imaging import UnreadableImage, decode, fit_square, open_rgb

RNG = np.random.default_rng(0)


def photograph(width: int = 48, height: int = 32) -> Image.Image:
    """Smooth colours, so that JPEG keeps them."""
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x * 255 // width, y * 255 // height, 128 + 0 * x], axis=-1).astype(np.uint8))


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, pixels: bytes) -> bytes:
    """A greyscale PNG that declares its size, whatever it holds."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header), png_chunk(b"IDAT", zlib.compress(pixels, 9)), png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


class TestFormats:
    @pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
    def test_reads_the_format_and_names_it(self, format: str) -> None:
        if format == "WEBP" and not features.check("webp"):
            pytest.skip("this Pillow has no WebP")
        decoded = decode(encoded(photograph(), format))
        assert (decoded.image.mode, decoded.image.size, decoded.format) == ("RGB", (48, 32), format)
        assert decoded.plain == (format in {"JPEG", "PNG", "WEBP"})
        assert np.abs(np.asarray(decoded.image).astype(int) - np.asarray(photograph())).mean() < 6

    def test_reads_from_a_path(self, tmp_path: Any) -> None:
        file = tmp_path / "image.png"
        file.write_bytes(encoded(photograph(), "PNG"))
        assert np.array_equal(open_rgb(file), photograph())

    def test_reads_the_first_picture_of_a_phones_mpo(self) -> None:
        data = encoded(photograph(), "MPO", save_all=True, append_images=[photograph(24, 16)])
        assert Image.open(io.BytesIO(data)).format == "MPO"
        decoded = decode(data)
        assert (decoded.image.size, decoded.format, decoded.plain) == ((48, 32), "JPEG", True)

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"not an image",
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        ],
        ids=["empty", "text", "svg", "eps"],
    )
    def test_refuses_what_is_no_image(self, data: bytes) -> None:
        with pytest.raises(UnreadableImage, match="not an image"):
            open_rgb(data)

    def test_refuses_a_format_that_pillow_knows_but_we_do_not_want(self) -> None:
        with pytest.raises(UnreadableImage, match="not an image, or not one of JPEG"):
            open_rgb(encoded(photograph(), "ICO"))


class TestPixels:
    def test_converts_cmyk(self) -> None:
        data = encoded(photograph().convert("CMYK"), "JPEG", quality=95)
        assert Image.open(io.BytesIO(data)).mode == "CMYK"
        assert np.abs(np.asarray(open_rgb(data)).astype(int) - np.asarray(photograph())).mean() < 6

    @pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
    def test_rescales_sixteen_bits_instead_of_clipping(self, format: str) -> None:
        ramp = np.linspace(0, 65535, 64 * 8).astype(np.uint16).reshape(8, 64)
        image = open_rgb(encoded(Image.fromarray(ramp), format))
        expected = np.floor(ramp / 65535 * 255 + 0.5).astype(np.uint8)
        assert np.array_equal(np.asarray(image)[..., 0], expected)
        assert expected.min() == 0
        assert expected.max() == 255

    def test_rescales_sixteen_bits_per_colour(self) -> None:
        high = np.array([[[0, 0x80, 0xFF], [0x40, 0xC0, 0x10]]] * 2, dtype=np.uint8)
        rows = b"".join(b"\0" + b"".join(bytes([v, 0x12]) for v in row.flatten()) for row in high)
        header = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
        chunks = png_chunk(b"IHDR", header), png_chunk(b"IDAT", zlib.compress(rows)), png_chunk(b"IEND", b"")
        assert np.array_equal(open_rgb(b"\x89PNG\r\n\x1a\n" + b"".join(chunks)), high)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_applies_the_exif_rotation(self, orientation: int) -> None:
        """The file holds the picture as the sensor saw it; decoding must give the upright one back."""
        upright = photograph()
        back = {
            1: None,
            2: Image.Transpose.FLIP_LEFT_RIGHT,
            3: Image.Transpose.ROTATE_180,
            4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE,
            6: Image.Transpose.ROTATE_90,
            7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_270,
        }[orientation]
        stored = upright if back is None else upright.transpose(back)
        exif = Image.Exif()
        exif[0x0112] = orientation
        image = open_rgb(encoded(stored, "JPEG", quality=95, exif=exif))
        assert image.size == upright.size
        assert np.abs(np.asarray(image).astype(int) - np.asarray(upright)).mean() < 6

    @pytest.mark.filterwarnings("ignore:Corrupt EXIF")
    def test_survives_damaged_exif(self) -> None:
        data = encoded(photograph(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
        assert open_rgb(data).size == (48, 32)

    def test_lays_transparency_on_white(self) -> None:
        pixels = np.zeros((4, 4, 4), dtype=np.uint8)
        pixels[:2, :, 0] = 200
        pixels[:2, :, 3] = 255
        pixels[3, :, 3] = 127
        rgb = np.asarray(open_rgb(encoded(Image.fromarray(pixels), "PNG")))
        assert (rgb[0] == (200, 0, 0)).all()
        assert (rgb[2] == 255).all()
        assert (rgb[3] == 128).all()

    def test_lays_a_transparent_palette_colour_on_white(self) -> None:
        image = Image.new("P", (4, 4), 1)
        image.putpalette([10, 20, 30, 40, 50, 60])
        image.paste(0, (0, 0, 2, 4))
        rgb = np.asarray(open_rgb(encoded(image, "PNG", transparency=0)))
        assert (rgb[:, :2] == 255).all()
        assert (rgb[:, 2:] == (40, 50, 60)).all()

    def test_repeats_grey_over_the_channels(self) -> None:
        grey = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
        rgb = np.asarray(open_rgb(encoded(Image.fromarray(grey), "PNG")))
        assert np.array_equal(rgb, np.repeat(grey[..., None], 3, axis=-1))

    def test_refuses_floating_point_samples(self) -> None:
        with pytest.raises(UnreadableImage, match="8 or 16 bits"):
            open_rgb(encoded(Image.fromarray(np.ones((4, 4), dtype=np.float32)), "TIFF"))


class TestRefusals:
    def test_a_truncated_jpeg_whose_header_is_fine(self) -> None:
        data = encoded(Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)), "JPEG")
        half = data[: len(data) // 2]
        Image.open(io.BytesIO(half)).verify()  # what a header check would say
        with pytest.raises(UnreadableImage, match="damaged"):
            open_rgb(half)

    def test_a_png_with_one_flipped_bit(self) -> None:
        data = bytearray(encoded(Image.fromarray(RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8)), "PNG"))
        data[len(data) // 2] ^= 4
        with pytest.raises(UnreadableImage, match="damaged"):
            open_rgb(bytes(data))

    @pytest.mark.parametrize("side", [9_000, 60_000], ids=["81 megapixels", "3.6 gigapixels"])
    def test_a_png_that_declares_too_many_pixels(self, side: int) -> None:
        with pytest.raises(UnreadableImage, match="pixels allowed"):
            open_rgb(png(side, side, b"\0"), max_pixels=64_000_000)

    def test_pixels_at_the_limit_pass_and_one_row_more_does_not(self) -> None:
        assert open_rgb(encoded(photograph(20, 10), "PNG"), max_pixels=200).size == (20, 10)
        with pytest.raises(UnreadableImage, match="200 pixels allowed"):
            open_rgb(encoded(photograph(20, 11), "PNG"), max_pixels=200)

    @pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
    def test_an_animation(self, format: str) -> None:
        if format == "WEBP" and not features.check("webp"):
            pytest.skip("this Pillow has no WebP")
        other = Image.fromarray(255 - np.asarray(photograph()))
        with pytest.raises(UnreadableImage, match="animated"):
            open_rgb(encoded(photograph(), format, save_all=True, append_images=[other]))

    def test_a_tiff_of_several_pages(self) -> None:
        with pytest.raises(UnreadableImage, match="several pages"):
            open_rgb(encoded(photograph(), "TIFF", save_all=True, append_images=[photograph()]))

    @pytest.mark.parametrize("size", [(1, 1), (1, 40), (30_000, 1), (102, 2)])
    def test_an_extreme_shape(self, size: tuple[int, int]) -> None:
        with pytest.raises(UnreadableImage, match=r"too small|times longer"):
            open_rgb(encoded(Image.new("RGB", size), "PNG"))

    def test_a_missing_file_is_not_called_a_bad_image(self, tmp_path: Any) -> None:
        with pytest.raises(FileNotFoundError):
            open_rgb(tmp_path / "missing.png")


def is_readable(data: bytes, at_least: int | None) -> bool:
    try:
        decode(data, at_least=at_least)
    except UnreadableImage:
        return False
    return True


class TestReducedScale:
    @pytest.mark.parametrize(
        ("size", "decoded_at"), [((960, 720), (120, 90)), ((300, 200), (150, 100)), ((143, 200), (143, 200))]
    )
    @pytest.mark.parametrize("mode", ["RGB", "L"])
    def test_a_jpeg_keeps_enough_pixels_and_its_size_is_known(
        self, size: tuple[int, int], decoded_at: tuple[int, int], mode: str
    ) -> None:
        decoded = decode(encoded(photograph(*size).convert(mode), "JPEG"), at_least=72)
        assert (decoded.image.size, decoded.size, decoded.image.mode, decoded.plain) == (decoded_at, size, "RGB", True)
        whole = decode(encoded(photograph(*size).convert(mode), "JPEG")).image.resize(decoded_at, Image.Resampling.BOX)
        assert np.abs(np.asarray(decoded.image).astype(int) - np.asarray(whole)).mean() < 2

    def test_a_photograph_on_its_side_has_its_upright_size(self) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        decoded = decode(encoded(photograph(960, 720), "JPEG", exif=exif), at_least=72)
        assert (decoded.image.size, decoded.size) == ((90, 120), (720, 960))

    @pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
    def test_others_are_decoded_as_they_are(self, format: str) -> None:
        assert decode(encoded(photograph(960, 720), format), at_least=72).image.size == (960, 720)

    def test_cmyk_is_written_anew_so_it_is_decoded_as_it_is(self) -> None:
        assert decode(encoded(photograph(960, 720).convert("CMYK"), "JPEG"), at_least=72).image.size == (960, 720)

    @pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0, "quality": 95}])
    def test_the_same_files_are_damaged(self, options: dict[str, Any]) -> None:
        """Training decodes at full size what the import has found to be readable."""
        noisy = Image.fromarray(RNG.integers(0, 256, (160, 200, 3), dtype=np.uint8))
        data = encoded(noisy, "JPEG", **options)
        damaged = [data[: len(data) * part // 60] for part in range(1, 60)]
        for _ in range(200):
            broken = bytearray(data)
            for at in RNG.integers(0, len(data), 3):
                broken[at] ^= 1 << int(RNG.integers(8))
            damaged.append(bytes(broken))
        verdicts = [(is_readable(one, None), is_readable(one, 72)) for one in damaged]
        assert [whole for whole, _ in verdicts] == [reduced for _, reduced in verdicts]
        assert {whole for whole, _ in verdicts} == {True, False}


class TestFitSquare:
    @pytest.mark.parametrize("size", [(97, 64), (64, 97), (50, 50), (31, 200), (641, 480)])
    @pytest.mark.parametrize("side", [17, 32, 96])
    @pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
    def test_is_what_torchvision_does(self, size: tuple[int, int], side: int, interpolation: str) -> None:
        transforms = pytest.importorskip("torchvision.transforms")
        image = Image.fromarray(RNG.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
        mode = transforms.InterpolationMode(interpolation)
        expected = transforms.CenterCrop(side)(transforms.Resize(side, mode)(image))
        got = fit_square(image, side, interpolation)
        assert got.shape == (side, side, 3)
        assert got.dtype == np.uint8
        assert np.array_equal(got, np.asarray(expected))

    def test_leaves_a_square_of_that_size_alone(self) -> None:
        pixels = RNG.integers(0, 256, (24, 24, 3), dtype=np.uint8)
        assert np.array_equal(fit_square(Image.fromarray(pixels), 24), pixels)

    def test_keeps_the_centre(self) -> None:
        pixels = np.zeros((10, 30, 3), dtype=np.uint8)
        pixels[:, 10:20] = 255
        assert (fit_square(Image.fromarray(pixels), 10) == 255).all()
