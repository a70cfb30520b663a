"""How a network and its optimiser compute fastest on this machine: precision and memory format, timed on a few batches.

It cannot be known without looking: on a CPU with bfloat16 instructions a MobileNetV2 teacher is 1.9 times faster in
bfloat16 and channels last than plain, while training a MobileNetV3 is 1.7 times faster channels last in float32, and
slower than plain in bfloat16. On a CPU without them, bfloat16 is emulated and of no use to anyone.
"""

import copy
import hashlib
import logging
import math
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import timm
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from app.domain.base import Frozen
from app.domain.files import replaced_atomically
from app.domain.runtime import RuntimeConfig
from worker.training.engine.muon import orthogonalise_in
from worker.training.models.networks import Execution, Network, Student, Teacher

PRECISION_VARIABLE = "TDMR_PRECISION"
"""`auto`, the default: time them. `float32` or `bfloat16`: compute in that and time nothing, for people who must
reproduce. Two runs in folders of their own agree bit for bit on one CPU if they share a TDMR_CACHE_DIR, which
remembers what was chosen, or if this is fixed. On a CPU it is for teachers: a student
and, where it is not `auto`, Muon stay in float32 there."""

FILE_NAME = "fast.json"
MARGIN = 1.1
"""How many times faster than a plainer way another one must be: nearer than that, noise would decide."""
LEAST_AGREEMENT = 0.99
"""Mean cosine of bfloat16's centred pre-logits to float32's below which bfloat16 is out of the question. On random
pixels two MobileNetV2 reach 0.996 to 0.997, and 0.998 or more on photographs."""
_BATCH = 16
_MATRIX = (256, 512)
"""Shows whether a CPU multiplies faster in bfloat16: large enough that arithmetic is most of it, small enough that an
emulated one takes a tenth of a second."""
_ROUNDS = 5
_SECONDS = 10.0

PLAIN = Execution()
_FLOAT32 = (PLAIN, Execution(channels_last=True))
_BFLOAT16 = (Execution("bfloat16"), Execution("bfloat16", channels_last=True))

Report = Callable[[str, str], None]
"""Takes a code and a sentence."""

log = logging.getLogger(__name__)


class Choice(Frozen):
    """How a network computes, and what that is worth."""

    execution: Execution
    times_plain: float | None
    """Speed as a multiple of plain float32's; None where nothing was timed."""


_CHOICES = TypeAdapter(dict[str, Choice])
_here: dict[str, Choice] = {}
"""What this process has measured: the memory of a host without a cache."""


def fastest(seconds: Mapping[Execution, float]) -> Execution:
    """From plain to less plain, as they are ordered: each must be `MARGIN` times faster than the one it replaces."""
    chosen = next(iter(seconds))
    for candidate in seconds:
        if seconds[chosen] > MARGIN * seconds[candidate]:
            chosen = candidate
    return chosen


def tune_teacher(teacher: Teacher, runtime: RuntimeConfig, out_dir: Path, report: Report) -> Teacher:
    """Let the teacher compute the fastest way that this machine has for it.

    The choice is kept in `out_dir`, so that a resumed run goes on as it began, and in the cache, so that the same job
    gives the same student on the same machine again. It is reported once a run.
    """
    images_BCHW = teacher.example(_BATCH)
    key = _key("Teacher", teacher, teacher.name, _BATCH)
    candidates = (*_FLOAT32, *_BFLOAT16)

    def measure() -> Choice:
        worth_trying = candidates if _bfloat16_pays(_device(teacher)) else _FLOAT32
        return _measure(teacher, worth_trying, lambda: teacher(images_BCHW))

    choice = _choose(key, _device(teacher), candidates, measure, runtime, out_dir, report)
    return teacher.run_as(choice.execution)


def tune_student(student: Student, batch_size: int, runtime: RuntimeConfig, out_dir: Path, report: Report) -> Student:
    """The same for training a student."""
    batch = min(_BATCH, batch_size)
    images_BCHW = student.example(batch)
    copied = copy.deepcopy(student).train()  # looking must move no running statistics

    def learn() -> None:
        stages, logits = copied(images_BCHW)
        loss = logits.square().mean() + torch.stack([stage.mean() for stage in stages]).sum()
        loss.backward()

    key = _key("Student", student, student.architecture, batch)
    candidates = _FLOAT32 if _device(student).type == "cpu" else (*_FLOAT32, *_BFLOAT16)
    measure = lambda: _measure(copied, candidates, learn)  # noqa: E731
    choice = _choose(key, _device(student), candidates, measure, runtime, out_dir, report)
    return student.run_as(choice.execution)


def tune_muon(device: torch.device, runtime: RuntimeConfig, out_dir: Path, report: Report) -> None:
    """The same for Muon's orthogonalisation on a CPU. On a GPU it stays in bfloat16, as timm has it."""
    if device.type == "cpu":
        measure = lambda: _fastest_of(_time_products(device))  # noqa: E731
        choice = _choose("Muon on cpu", device, (PLAIN,), measure, runtime, out_dir, report)
        orthogonalise_in(getattr(torch, choice.execution.precision))


def _choose(
    key: str,
    device: torch.device,
    to_ask_for: Sequence[Execution],
    measure: Callable[[], Choice],
    runtime: RuntimeConfig,
    out_dir: Path,
    report: Report,
) -> Choice:
    """What this run has chosen before; else what was asked for, or is known of this host, or is measured now."""
    path = out_dir / FILE_NAME
    of_run = _read(path)
    if key in of_run:
        return of_run[key]
    choice = _asked_for(runtime.precision, to_ask_for)
    choice = choice or _known_of_host(f"{key}; {_machine(device)}", measure, runtime.cache_dir)
    _write(path, {**of_run, key: choice})
    report("device_settings", f"{key} runs in {_words(choice)}.")
    return choice


def _asked_for(asked: str, candidates: Sequence[Execution]) -> Choice | None:
    if asked == "auto":
        return None
    fitting = [candidate for candidate in candidates if candidate.precision == asked]
    exact = [candidate for candidate in candidates if candidate.precision == "float32"]
    return Choice(execution=(fitting or exact)[-1], times_plain=None)


def _known_of_host(key: str, measure: Callable[[], Choice], cache_dir: Path | None) -> Choice:
    if cache_dir is None:
        if key not in _here:
            _here[key] = measure()
        return _here[key]
    path = Path(cache_dir, "fast", f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json")
    if key not in _read(path):
        choice = measure()
        if key not in _read(path):  # else another job measured meanwhile, and the first one holds for all
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, {key: choice})
    return _read(path)[key]


def _measure(network: Network, candidates: Sequence[Execution], once: Callable[[], object]) -> Choice:
    device = _device(network)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        exact = _pre_logits(network, PLAIN)
        fitting = [
            candidate
            for candidate in candidates
            if candidate.precision == "float32" or _agreement(exact, _pre_logits(network, candidate)) > LEAST_AGREEMENT
        ]
        return _fastest_of(_time(device, fitting, network.run_as, once))


def _fastest_of(seconds: Mapping[Execution, float]) -> Choice:
    chosen = fastest(seconds)
    return Choice(execution=chosen, times_plain=round(seconds[PLAIN] / seconds[chosen], 2))


def _bfloat16_pays(device: torch.device) -> bool:
    """Whether networks are worth trying in bfloat16. On a CPU that emulates it, measuring a ViT-S took two minutes."""
    return device.type != "cpu" or fastest(_time_products(device)).precision == "bfloat16"


def _time_products(device: torch.device) -> dict[Execution, float]:
    exact_RC = torch.linspace(-1, 1, math.prod(_MATRIX), device=device).sin().reshape(_MATRIX)
    matrix_RC = exact_RC

    def apply(candidate: Execution) -> None:
        nonlocal matrix_RC
        matrix_RC = exact_RC.to(getattr(torch, candidate.precision))

    return _time(device, (PLAIN, _BFLOAT16[0]), apply, lambda: _product(matrix_RC))


def _product(matrix_RC: Tensor) -> Tensor:
    return matrix_RC @ matrix_RC.mT


def _time(
    device: torch.device,
    candidates: Sequence[Execution],
    apply: Callable[[Execution], object],
    once: Callable[[], object],
) -> dict[Execution, float]:
    """The fastest of a few rounds, in seconds. In turns, so that a busy moment of the machine meets all of them."""
    seconds = dict.fromkeys(candidates, float("inf"))
    began = time.perf_counter()
    for number in range(1 + _ROUNDS):
        for candidate in candidates:
            apply(candidate)
            _wait_for(device)
            start = time.perf_counter()
            once()
            _wait_for(device)
            if number > 0:  # the first round warms up
                seconds[candidate] = min(seconds[candidate], time.perf_counter() - start)
        if number > 0 and time.perf_counter() - began > _SECONDS:
            break
    return seconds


@torch.no_grad()
def _pre_logits(network: Network, execution: Execution) -> Tensor:
    training = network.training
    _, features = network.eval().run_as(execution).read(network.example(_BATCH))
    pre_logits = network.tapped.head(features, pre_logits=True)
    network.train(training)
    return pre_logits


def _agreement(exact_BF: Tensor, other_BF: Tensor) -> float:
    """Centred, as what all images have in common says nothing and would hide the difference."""
    return float(F.cosine_similarity(exact_BF - exact_BF.mean(0), other_BF - other_BF.mean(0)).mean())


def _device(network: Network) -> torch.device:
    return network.mean.device


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _key(role: str, network: Network, name: str, batch: int) -> str:
    return f"{role} {name} at {network.image_size} px on {_device(network).type}, {batch} images a time,"


def _machine(device: torch.device) -> str:
    """What a timing holds for."""
    if device.type == "cuda":
        hardware = torch.cuda.get_device_name(device)
    else:
        hardware = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"
    return f"{hardware}; torch {torch.__version__}, timm {timm.__version__}"


def _words(choice: Choice) -> str:
    order = ", channels last" if choice.execution.channels_last else ""
    if choice.times_plain is None:
        worth = f" (as {PRECISION_VARIABLE} says)"
    else:
        worth = f" ({choice.times_plain} × plain)" if choice.execution != PLAIN else " (nothing else is faster)"
    return f"{choice.execution.precision}{order}{worth}"


def _read(path: Path) -> dict[str, Choice]:
    try:
        return _CHOICES.validate_json(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValidationError:
        log.warning("%s is damaged; the networks are timed again", path)
        return {}


def _write(path: Path, choices: dict[str, Choice]) -> None:
    with replaced_atomically(path) as temporary:
        temporary.write_bytes(_CHOICES.dump_json(choices, indent=1))
