"""What the user is told of errors that libraries raise."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

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


class TestLostFiles:
    """Somebody else deletes the job's folder, its data or the cache: the host's fault, and another attempt's chance."""

    @pytest.mark.parametrize("number", [errno.ENOENT, errno.ENOTDIR, errno.EIO, errno.ESTALE])
    def test_a_file_of_the_job_is_gone_or_unreadable(self, tmp_path: Path, number: int) -> None:
        error = OSError(number, os.strerror(number), str(tmp_path / "out" / "secret.ckpt"))

        told = in_words(error, self.folders(tmp_path))

        assert (told.code, "secret" in told.model_dump_json()) == ("local_files_lost", False)

    def test_a_library_has_an_error_of_its_own_for_a_folder_that_is_gone(self, tmp_path: Path) -> None:
        folders = self.folders(tmp_path)
        folders[1].rmdir()
        with pytest.raises(RuntimeError) as raised:
            torch.jit.save(torch.jit.script(torch.nn.Identity()), str(folders[1] / "student.pt"))

        assert in_words(raised.value, folders).code == "local_files_lost"

    def test_a_full_disk_has_lost_nothing(self, tmp_path: Path) -> None:
        error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "out" / "x"))

        assert in_words(error, self.folders(tmp_path)).code == "disk_full"

    def test_a_file_elsewhere_is_no_file_of_the_job(self, tmp_path: Path) -> None:
        error = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/somewhere/else")

        assert in_words(error, self.folders(tmp_path)).code == "training_failed"

    @staticmethod
    def folders(parent: Path) -> list[Path]:
        folders = [parent / name for name in ("data", "out", "cache")]
        for folder in folders:
            folder.mkdir()
        return folders
