"""What the user is told of errors that libraries raise."""

import errno
import os
from collections.abc import Callable

import pytest
import torch
from safetensors import SafetensorError

from worker.training.__main__ import in_words


def cpu_memory() -> None:
    torch.empty(2**60, dtype=torch.uint8)


def gpu_memory() -> None:
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def disk() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/secret/path")


def disk_under_safetensors() -> None:
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


class TestInWords:
    @pytest.mark.parametrize(
        ("fails", "code"),
        [
            (cpu_memory, "out_of_memory"),
            (gpu_memory, "out_of_memory"),
            (disk, "disk_full"),
            (disk_under_safetensors, "disk_full"),
        ],
    )
    def test_names_what_was_used_up(self, fails: Callable[[], None], code: str) -> None:
        with pytest.raises(Exception) as raised:
            fails()

        told = in_words(raised.value)

        assert told.code == code
        assert told.hint
        assert "secret" not in told.model_dump_json()
