"""What Schemathesis has to know to get further than to the first refusal."""

import os

import schemathesis
from schemathesis import Case, GenerationMode, HookContext

schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, object]) -> None:
    """Let a well-formed job name things that exist."""
    if case.operation.label == "POST /v1/jobs" and case.meta.generation.mode is GenerationMode.POSITIVE:
        case.body |= {"dataset_id": os.environ["DATASET_ID"], "teacher": "resnet18.a1_in1k", "student": "resnet50"}
        case.body |= {"students": None, "teachers": None}
