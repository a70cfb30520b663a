"""Budgets, learning rates and optimisers for students that start from their own pretrained weights:
`python -m benchmarks.methods.pretrained_search --data FOLDER --weights FOLDER`.

Two data sets and one seed: what is found here is to be confirmed on others. The first cells answer the first question,
whether distilling beats fine-tuning at equal image steps; the later ones vary one thing each.
"""

import argparse
import functools
import sys
from collections.abc import Iterator

from benchmarks import RESULTS
from benchmarks.common import setting
from benchmarks.common.cells import Cell, Line, run_and_show
from benchmarks.common.data import Subset
from benchmarks.common.table import by_seed, markdown, spread

DATA_SETS = ("clothing", "trashnet")
LABELS, SEED = 20, 0
VARIED = (
    {},
    {"distill.image_steps": 30_000},
    {"distill.image_steps": 6_000},
    {"distill.learning_rate": 3e-3},
    {"distill.learning_rate": 3e-4},
    {"distill.optimiser": "adamw", "distill.learning_rate": 3e-4},
    {"distill.image_steps": 60_000},
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    setting.add_options(parser, RESULTS / "pretrained-search.jsonl")
    parser.set_defaults(**setting.PRETRAINED)
    arguments = setting.parsed(parser)
    run = functools.partial(setting.run_on_photographs, arguments)
    return run_and_show(arguments, list(plan(arguments)), run, table)


def table(lines: list[Line]) -> str:
    rows = [[each["data"], each["row"], spread(by_seed([each]))] for each in lines]
    return markdown(("data", "row", "student"), rows)


def plan(arguments: argparse.Namespace) -> Iterator[Cell]:
    """All cells in the order in which they are run."""
    chosen = setting.chosen(arguments)
    for changes in VARIED:
        for data in DATA_SETS:
            subset = Subset(setting.archive(arguments, data), LABELS, SEED)
            for method in ("finetune", "tdmr"):
                name = " ".join([method, *(f"{key.rpartition('.')[2]}={value}" for key, value in changes.items())])
                spec = chosen.spec(method, SEED, {"pretrained": True} | changes)
                yield setting.photographs(subset, spec, name)


if __name__ == "__main__":
    sys.exit(main())
