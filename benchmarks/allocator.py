"""What `keep_freed_memory` brings on a CPU: `python benchmarks/allocator.py`.

CPU seconds (user + system, which other load on the machine hardly changes) of the same batches in fresh processes, with
and without it, in turns.
"""

import resource
import statistics
import subprocess
import sys

ROUNDS, BATCHES, IMAGES, SIDE = 3, 5, 128, 96


def main() -> None:
    seconds: dict[tuple[str, str], list[float]] = {}
    for _ in range(ROUNDS):
        for kept in ("default", "kept"):
            done = subprocess.run([sys.executable, __file__, kept], capture_output=True, text=True, check=True)
            for line in done.stdout.splitlines():
                what, spent = line.rsplit(" ", 1)
                seconds.setdefault((what, kept), []).append(float(spent))
    print("| what | default, s | kept, s | ratio |\n|---|---|---|---|")
    for what in dict.fromkeys(what for what, _ in seconds):
        default, kept = (statistics.median(seconds[what, how]) for how in ("default", "kept"))
        print(f"| {what} | {default:.2f} | {kept:.2f} | {default / kept:.2f} |")


def measure(kept: str) -> None:
    import torch  # noqa: PLC0415 (after the allocator is set, as in a real run)

    from worker.training.memory import keep_freed_memory  # noqa: PLC0415
    from worker.training.models import build_student, build_teacher  # noqa: PLC0415

    if kept == "kept":
        assert keep_freed_memory()
    torch.set_num_threads(1)  # a second thread that waits for a busy core would count as work
    teacher, student = build_teacher("mobilenetv2_100.random", SIDE), build_student("mobilenetv3_small_050", 10, SIDE)
    images = torch.rand(IMAGES, 3, SIDE, SIDE)
    for name, run in (
        ("mobilenetv2_100 answers", lambda: teacher(images)),
        ("mobilenetv3_small_050 learns", lambda: student(images)[1].square().mean().backward()),
    ):
        run()
        began = _cpu_seconds()
        for _ in range(BATCHES):
            run()
        print(f"{name}, {BATCHES} × {IMAGES} images of {SIDE} px {_cpu_seconds() - began}")


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    measure(sys.argv[1]) if len(sys.argv) > 1 else main()
