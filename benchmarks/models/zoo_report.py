"""From the sweep's lines to a table by module, and to what the catalogue refuses."""

from collections import defaultdict
from collections.abc import Sequence

from benchmarks.common.cells import Line
from benchmarks.common.table import markdown
from worker.training.models.compatibility import NOTHING, Refusal

PARTS = ("teacher", "student", "onnx", "torchscript", "pt2", "int8")
FORMATS = {"onnx": "onnx", "torchscript": "torchscript", "pt2": "exported_program", "int8": "onnx_int8"}
"""What a job calls them."""
LIMIT = "limit:"
"""Begins the reason of what the sweep's own limits ended: no fact about the architecture."""
WITHOUT_STUDENT = "there is no student to export"


def latest(lines: Sequence[Line]) -> list[Line]:
    """One line an architecture."""
    return list({line["architecture"]: line for line in lines}.values())


def table(lines: Sequence[Line]) -> str:
    """Passes of all by module, with a line for each failure below, and the sums above."""
    modules: dict[str, list[Line]] = defaultdict(list)
    for line in sorted(latest(lines), key=lambda line: (line["module"], line["architecture"])):
        modules[line["module"]].append(line)
    rows = [[module, *(_passes(part, found) for part in PARTS)] for module, found in modules.items()]
    whole = [line for found in modules.values() for line in found]
    total = [
        [f"**{len(modules)} modules, all architectures**", *(_passes(part, whole) for part in PARTS)],
        ["**modules without a failure**", *(_clean(part, list(modules.values())) for part in PARTS)],
    ]
    failures = [
        f"- `{line['architecture']}` ({line['module']}), {part}: {line[part]}"
        for line in whole
        for part in PARTS
        if line[part] is not True and line[part] != WITHOUT_STUDENT
    ]
    text = markdown(("module", *PARTS), [*total, *rows])
    return f"{text}\n\n" + ("\n".join(failures) if failures else "Nothing failed.")


def refusals(lines: Sequence[Line]) -> dict[str, Refusal]:
    """By architecture; those of which nothing is refused are left out."""
    found = {line["architecture"]: _refusal(line) for line in latest(lines)}
    return {name: refusal for name, refusal in found.items() if refusal != NOTHING}


def _refusal(line: Line) -> Refusal:
    refused = {
        part: line[part]
        for part in PARTS
        if line[part] is not True and not line[part].startswith(LIMIT) and line[part] != WITHOUT_STUDENT
    }
    sizes = tuple(int(side) for side in line.get("refused_sides", ()))
    return Refusal(
        teacher=refused.get("teacher"),
        student=refused.get("student"),
        formats={FORMATS[part]: reason for part, reason in refused.items() if part in FORMATS},
        sizes=sizes,
        takes=line["student_side"] if sizes else None,
    )


def _passes(part: str, lines: Sequence[Line]) -> str:
    return f"{sum(line[part] is True for line in lines)}/{len(lines)}"


def _clean(part: str, modules: Sequence[Sequence[Line]]) -> str:
    clean = sum(all(line[part] is True for line in lines) for lines in modules)
    return f"{clean}/{len(modules)} ({clean / max(1, len(modules)):.0%})"
