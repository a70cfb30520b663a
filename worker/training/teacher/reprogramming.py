"""Stage 1 as the pipeline runs it: what the teacher, or several, know of the task.

N images.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
from safetensors.torch import save_file
from torch import nn

from app.domain.files import replaced_atomically
from app.domain.states import Stage
from app.domain.workload import PROBE, REPROGRAMMED, adaptations
from worker.training.data.pools import Images
from worker.training.run import Run
from worker.training.teacher.features import TeacherTaps
from worker.training.teacher.proxy_space import LinearProbe, ProbeTask, Reprogrammer, ReprogramTask
from worker.training.teacher.stage_one import StageOne
from worker.training.teacher.task_teacher import Blend, Ensemble, TaskTeacher, best_shares, blended, logits_of_clean

_PROBE_OPTIONS = {"steps", "batch_size", "learning_rate", "weight_decay"}
_PROBE_SHARE = 0.2  # of the stage's progress, where a reprogrammer follows


def reprogram(run: Run, images: Images, every_taps: Sequence[TeacherTaps]) -> TaskTeacher:
    """Train the probe and, where the method has a proxy space, the reprogrammer; or take what a job has trained before.

    Of several teachers each, and then all as one: the validation images choose how much each of these says. What comes
    of it is written to the output folder.
    """
    run.reporter.begin(Stage.REPROGRAM)
    taps = every_taps[0] if len(every_taps) == 1 else TeacherTaps.side_by_side(every_taps)
    count = adaptations(run.spec, len(every_taps))
    stages = [StageOne(run, images, each, number, count) for number, each in enumerate([*every_taps, taps][-count:])]
    teachers = [_reprogram_one(stage, images) for stage in stages]
    teacher = teachers[-1] if len(teachers) == 1 else _ensemble(run, images, teachers)
    _save(run, PROBE, teacher.probe)
    if teacher.blend is not None:
        _save(run, REPROGRAMMED, teacher.blend.reprogrammer if isinstance(teacher.blend, Blend) else teacher.blend)
    stages[-1].judge(teacher)
    return teacher


def _reprogram_one(stage: StageOne, images: Images) -> TaskTeacher:
    config, taps = stage.run.spec.reprogram, stage.taps
    widths, classes = taps.widths, len(images.index.classes)
    probe_only = not stage.run.spec.method_info.reprograms
    probe = stage.trained(
        PROBE,
        lambda: LinearProbe(widths, classes, taps.pre_logits),
        lambda probe: ProbeTask(probe, stage.weights_K),
        config.model_dump(include=_PROBE_OPTIONS),
        share=(0.0, 1.0 if probe_only else _PROBE_SHARE),
        leads=probe_only,
    )
    if probe_only:
        return TaskTeacher(taps, probe)

    def task(reprogrammer: Reprogrammer) -> ReprogramTask:
        reprogrammer.start_at_class_means(taps.labelled, images.pools.labelled.labels)
        return ReprogramTask(reprogrammer, config, stage.weights_K)

    reprogrammer = stage.trained(
        REPROGRAMMED,
        lambda: Reprogrammer(widths, classes, config),
        task,
        config.model_dump(),
        share=(_PROBE_SHARE, 1.0),
        leads=True,
        rounds=1 + (config.self_training if len(images.pools.unlabelled) else 0),
    )
    return TaskTeacher(taps, probe, blended(reprogrammer, probe, taps.val, images.pools.val.labels))


def _ensemble(run: Run, images: Images, teachers: Sequence[TaskTeacher]) -> TaskTeacher:
    """Of several teachers alone and, the last, all of them together."""
    *each, together = teachers
    ends = list(accumulate(sum(teacher.taps.widths) for teacher in each))
    columns = [slice(start, end) for start, end in pairwise([0, *ends])] + [slice(0, ends[-1])]
    blends = [teacher.blend for teacher in teachers if isinstance(teacher.blend, Blend)]
    shares, judges = [1 / len(teachers)] * len(teachers), images.pools.val.labels
    if len(judges):
        said = [logits_of_clean(teacher.model, teacher.taps.val, run.device) for teacher in teachers]
        shares = best_shares(said, torch.from_numpy(judges))
    ensemble = Ensemble(blends, columns, shares).eval().requires_grad_(False)
    teacher = TaskTeacher(together.taps, together.probe, ensemble)
    told = ", ".join(f"{name} {share:.0%}" for name, share in teacher.shares.items())
    chosen = "The validation images chose how much each teacher says" if len(judges) else "Each teacher says"
    run.reporter.event("teachers_weighed", f"{chosen}: {told}, all together {shares[-1]:.0%}.")
    return teacher


def _save(run: Run, name: str, model: nn.Module) -> None:
    with replaced_atomically(run.out_dir / f"{name}.safetensors") as temporary:
        save_file({key: value.cpu().contiguous() for key, value in model.state_dict().items()}, temporary)
