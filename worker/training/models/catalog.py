"""What this machine can build: `python -m worker.training.models.catalog` prints it as an app.domain.catalog.Catalog.

It is a program and no function, so that the supervisor need not hold torch in memory all day.

Building all of timm's architectures to count their parameters takes minutes, so the counts lie in `architectures.json`,
one line an architecture; `--rebuild` makes it anew after an upgrade. With another timm than the file's, names that timm
no longer has are left out, and new ones are built here and now on the meta device, where weights take no memory.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from timm.models import get_pretrained_cfg, list_models, list_pretrained, model_entrypoint
from torch.utils.flop_counter import FlopCounterMode

from app.domain.catalog import Catalog, StudentCard, TeacherCard
from app.domain.methods import MethodInfo
from app.domain.runtime import RuntimeConfig
from worker.training.models.compatibility import NOTHING, Refusal, read_refusals
from worker.training.models.weights import list_local

KNOWN = Path(__file__).with_name("architectures.json")
BATCH = 150
log = logging.getLogger(__name__)


class Architecture(NamedTuple):
    """A row of the file."""

    family: str
    parameters: int
    """Without the classifier."""
    input_size: int
    """Side in pixels."""
    multiply_adds: int | None = None
    """Of one image of that size."""


@dataclass(frozen=True)
class Known:
    """The file: what was built, and what could not be and why."""

    timm: str
    architectures: dict[str, Architecture]
    left_out: dict[str, str]


def read_catalog(*, hub: bool, models_dir: Path | None = None) -> Catalog:
    """All of it: every architecture as a student; local teachers, and with `hub` timm's pretrained ones."""
    architectures, refused = present_architectures(read_known()), read_refusals()
    teachers = {card.name: card for card in _local_teachers(architectures, models_dir)}
    if hub:
        # a local file of the same name is at hand, so it wins
        teachers = {card.name: card for card in _timm_teachers(architectures)} | teachers
    for card in teachers.values():
        if reason := refused.get(card.architecture, NOTHING).teacher:
            teachers[card.name] = card.model_copy(update={"refused": reason})
    return Catalog(
        teachers=tuple(teachers[name] for name in sorted(teachers)),
        students=tuple(_student(name, row, refused.get(name, NOTHING)) for name, row in sorted(architectures.items())),
    )


def present_architectures(known: Known) -> dict[str, Architecture]:
    """What the installed timm can build, whichever timm the file was made with."""
    if known.timm == timm.__version__:
        return known.architectures
    present = set(list_models())
    counted = any(row.multiply_adds for row in known.architectures.values())
    new = build(sorted(present - set(known.architectures) - set(known.left_out)), count=counted)
    log.info("timm %s, the file knows %s: %d new", timm.__version__, known.timm, len(new.architectures))
    for reason, count in Counter(new.left_out.values()).items():
        log.warning("%d new architectures left out: %s", count, reason)
    return {name: row for name, row in known.architectures.items() if name in present} | new.architectures


def read_known(path: Path = KNOWN) -> Known:
    """The file that `--rebuild` wrote."""
    content = json.loads(path.read_bytes())
    rows = {name: Architecture(*row) for name, row in content["architectures"].items()}
    return Known(content["timm"], rows, content["left_out"])


def write_known(known: Known, path: Path = KNOWN) -> None:
    """One line an architecture: a change of timm then reads as a diff."""
    rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in sorted(known.architectures.items()))
    left_out = ",\n".join(f"{json.dumps(name)}: {json.dumps(why)}" for name, why in sorted(known.left_out.items()))
    path.write_text(
        f'{{"timm": {json.dumps(known.timm)},\n"architectures": {{\n{rows}\n}},\n"left_out": {{\n{left_out}\n}}}}\n'
    )


def build(names: Iterable[str], *, count: bool = True) -> Known:
    """Build each on the meta device: what they are, and why the others are not. `count` their multiply-adds too, which
    takes longer than building them."""
    architectures: dict[str, Architecture] = {}
    left_out: dict[str, str] = {}
    for name in names:
        try:
            architectures[name] = _describe(name, count=count)
        except (
            Exception
        ) as error:  # whatever a constructor of the thousand may raise: it is recorded, and the rest goes on
            left_out[name] = f"{type(error).__name__}: {error}".splitlines()[0][:120]
    return Known(timm.__version__, architectures, left_out)


def rebuild() -> Known:
    """Build every architecture of the installed timm, in processes of a batch each, so that memory stays small."""
    architectures: dict[str, Architecture] = {}
    left_out: dict[str, str] = {}
    names = list_models()
    for start in range(0, len(names), BATCH):
        command = [sys.executable, "-m", "worker.training.models.catalog", "--describe", *names[start : start + BATCH]]
        part = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        architectures.update({name: Architecture(*row) for name, row in part["architectures"].items()})
        left_out.update(part["left_out"])
        log.info("%d architectures", len(architectures))
    return Known(timm.__version__, architectures, left_out)


def main(methods: tuple[MethodInfo, ...] = ()) -> None:
    """`methods` are announced beside the models; see `worker.training.catalog`."""
    parser = argparse.ArgumentParser(
        prog="python -m worker.training.models.catalog", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--rebuild", action="store_true", help="make architectures.json anew from the installed timm")
    parser.add_argument("--describe", nargs="+", metavar="NAME", help="build these and print what they are")
    parser.add_argument("--runtime", type=Path, metavar="RUNTIME.json", help="settings; default: the environment")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(message)s")
    torch.set_num_threads(1)
    if arguments.rebuild:
        known = rebuild()
        write_known(known)
        log.info("%d architectures, %d left out", len(known.architectures), len(known.left_out))
    elif arguments.describe:
        known = build(arguments.describe)
        _print(json.dumps({"architectures": known.architectures, "left_out": known.left_out}))
    else:
        runtime = RuntimeConfig.read(arguments.runtime, os.environ)
        catalog = read_catalog(hub=runtime.hub, models_dir=runtime.models_dir)
        _print(catalog.model_copy(update={"methods": methods}).model_dump_json())


def _describe(name: str, *, count: bool) -> Architecture:
    cfg = get_pretrained_cfg(name)
    channels, height, _ = cfg.input_size if cfg else (3, 224, 224)
    if channels != 3:
        raise ValueError("does not take RGB images")
    family = model_entrypoint(name).__module__.rpartition(".")[2]
    counted = _count_multiply_adds(name, height) if count else None
    return Architecture(family, _count_parameters(name), height, counted)


def _count_parameters(architecture: str, **kwargs: Any) -> int:
    """Without the classifier; on the meta device, where weights take no memory."""
    with torch.device("meta"):
        model = timm.create_model(architecture, pretrained=False, num_classes=0, **kwargs)
    return sum(p.numel() for p in model.parameters())


def _count_multiply_adds(architecture: str, side: int) -> int | None:
    """Of one image, half of the floating-point operations that torch counts. None where it cannot be counted without
    weights."""
    with torch.device("meta"):
        model = timm.create_model(architecture, pretrained=False, num_classes=0).eval()
        try:
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                model(torch.empty(1, 3, side, side))
        except (RuntimeError, NotImplementedError):  # it looks at its numbers, and there are none
            return None
    return counter.get_total_flops() // 2 or None


def _student(name: str, row: Architecture, refusal: Refusal) -> StudentCard:
    return StudentCard(
        name=name,
        family=row.family,
        parameters=row.parameters,
        multiply_adds=row.multiply_adds,
        input_size=row.input_size,
        refused=refusal.student,
        refused_formats=dict(refusal.formats),
        refused_sizes=refusal.sizes,
        takes_size=refusal.takes,
    )


def _timm_teachers(architectures: dict[str, Architecture]) -> Iterable[TeacherCard]:
    for name in list_pretrained():
        architecture = name.partition(".")[0]
        row, cfg = architectures.get(architecture), get_pretrained_cfg(name)
        if row is None or cfg is None or cfg.input_size[0] != 3:
            continue
        yield TeacherCard(
            name=name,
            architecture=architecture,
            family=row.family,
            parameters=row.parameters,
            input_size=cfg.input_size[1],
            trained_on=cfg.description or "",
            licence=cfg.license or "",
            source="timm",
        )


def _local_teachers(architectures: dict[str, Architecture], models_dir: Path | None) -> Iterable[TeacherCard]:
    for weights in list_local(models_dir).values():
        card, row = weights.card, architectures.get(weights.card.architecture)
        if row is None:
            log.warning("Skipped the teacher %r: timm cannot build %r", weights.name, card.architecture)
            continue
        yield TeacherCard(
            name=weights.name,
            architecture=card.architecture,
            family=row.family,
            # arguments of the constructor may change the size
            parameters=_count_parameters(card.architecture, **card.kwargs) if card.kwargs else row.parameters,
            input_size=card.input_size[1],
            trained_on=card.trained_on,
            licence=card.licence,
            source="local",
        )


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
