"""The methods by name, found in the modules of this folder.

To add one, add a module that declares `METHODS`, a test and a row in docs/method.md; nothing else needs to know.
Workers announce their methods, so the service accepts a new one as soon as a worker that has it has started. Before a
release, `python -m worker.training.methods.registry` writes all of them to `app/domain/methods.json`.
"""

import importlib
import json
import pkgutil
from collections.abc import Sequence

from torch import Tensor

from app.domain.files import replaced_atomically
from app.domain.methods import RELEASED, MethodInfo, learn
from app.domain.spec import TrainingSpec
from worker.training import methods
from worker.training.methods.handover import Handover
from worker.training.methods.task import Method, Setting, StudentTask
from worker.training.models.networks import Student
from worker.training.teacher.proxy_space import LinearProbe
from worker.training.teacher.task_teacher import ProxySpace


def _find() -> dict[str, Method]:
    names = sorted(module.name for module in pkgutil.iter_modules(methods.__path__))
    modules = [importlib.import_module(f"{methods.__name__}.{name}") for name in names if name != "registry"]
    found: list[Method] = [one for module in modules for one in getattr(module, "METHODS", ())]
    by_name = {one.info.name: one for one in found}
    assert len(by_name) == len(found), "two methods share a name"
    return by_name


METHODS = _find()
learn(one.info for one in METHODS.values())


def infos() -> tuple[MethodInfo, ...]:
    return tuple(one.info for one in METHODS.values())


def build_task(
    spec: TrainingSpec,
    student: Student,
    proxy_space: ProxySpace | None,
    probe: LinearProbe | None,
    tap_widths: Sequence[int],
    class_weights_K: Tensor | None,
    handover: Handover | None = None,
) -> StudentTask:
    """What `fit` trains in stage 2 for `spec.method`. Its connectors and the like draw from torch's global generator.

    Args:
        student: on its device already; some methods change its classifier until `finish` is called on what `fit`
            returned.
        proxy_space: for the methods that reprogram, else None.
        probe: None where the method has no teacher.
        tap_widths: of the teacher's stages and its pre-logits vector; empty without a teacher.
        class_weights_K: multiply the cross-entropy of each class's labelled images; None for equal weights.
        handover: read by `tdmr`.

    Raises:
        InvalidSpec: the method cannot train this student.
    """
    task = METHODS[spec.method].task
    assert task is not None, f"'{spec.method}' trains no student"
    return task(Setting(spec, student, proxy_space, probe, tuple(tap_widths), class_weights_K, handover))


if __name__ == "__main__":
    rows = [info.model_dump(mode="json", exclude_defaults=True) for info in infos()]
    with replaced_atomically(RELEASED) as temporary:
        temporary.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
