"""Images decoded for predictions, by processes that may die of one or be killed."""

import io
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest
from PIL import Image

from app.domain.errors import UnusableImage
from app.domain.manifest import Preprocessing
from app.inference.pictures import Pictures
from tests.support import children

PREPROCESSING = Preprocessing(
    resize_short_side=8, center_crop=8, interpolation="bicubic", mean=(0, 0, 0), std=(1, 1, 1)
)
CPU_SECONDS = 0.2


def encoded(side: int, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (side, side), (1, 2, 3) if mode == "RGB" else 0).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def pictures() -> Iterator[Pictures]:
    pictures = Pictures(10**8, 1, CPU_SECONDS)
    yield pictures
    pictures.close()


def decoders() -> list[psutil.Process]:
    return children("app.inference.decoder")


class TestSquare:
    def test_is_what_the_student_sees(self, pictures: Pictures) -> None:
        assert pictures.square(encoded(20), PREPROCESSING).tolist() == [[[1, 2, 3]] * 8] * 8

    def test_tells_what_is_wrong_with_an_image(self, pictures: Pictures) -> None:
        for data in (b"", b"GIF89a not really", encoded(20)[:40]):
            with pytest.raises(UnusableImage, match="image"):
                pictures.square(data, PREPROCESSING)
        assert pictures.square(encoded(20), PREPROCESSING).shape == (8, 8, 3)
        assert len(decoders()) == 1

    def test_of_an_image_that_kills_its_decoder_costs_nobody_else(self, pictures: Pictures) -> None:
        slow = encoded(9000, "1")  # 0.6 s
        for _ in range(2):
            with pytest.raises(UnusableImage, match="crashed, or took too long"):
                pictures.square(slow, PREPROCESSING)
            assert pictures.square(encoded(20), PREPROCESSING).shape == (8, 8, 3)

    def test_is_had_although_an_idle_decoder_was_killed(self, pictures: Pictures) -> None:
        """The kernel takes it first when memory ends. It may still be about to end when the next image comes."""
        pictures.square(encoded(20), PREPROCESSING)
        for _ in range(5):
            (decoder,) = decoders()
            decoder.kill()
            assert pictures.square(encoded(20), PREPROCESSING).shape == (8, 8, 3)


class TestProcesses:
    def test_are_gone_once_closed(self, pictures: Pictures) -> None:
        pictures.square(encoded(20), PREPROCESSING)
        assert len(decoders()) == 1
        pictures.close()
        assert decoders() == []

    def test_end_with_the_one_that_started_them(self) -> None:
        code = (
            "import time, psutil\n"
            "from tests.unit.app.inference.test_pictures import PREPROCESSING, Pictures, encoded\n"
            "pictures = Pictures(10**8, 1)\n"
            "pictures.square(encoded(20), PREPROCESSING)\n"
            "print(*[child.pid for child in psutil.Process().children()], flush=True)\n"
            "time.sleep(600)\n"
        )
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
            assert parent.stdout is not None
            (child,) = map(int, parent.stdout.readline().split())
            parent.kill()
        while psutil.pid_exists(child):  # pytest's own time limit ends it
            time.sleep(0.02)
