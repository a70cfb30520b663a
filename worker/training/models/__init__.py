"""Networks: timm architectures as teachers and students, their taps, weights and the catalogue of what can be built.

Imports `losses`, `statistics` and the domain; nothing here knows data, methods or a run.
"""

import sys

# timm imports wandb wherever that is installed, for a log that is not kept here: a quarter of what each run's start
# would take. Named None, it counts as absent while timm looks.
if "wandb" not in sys.modules:
    sys.modules["wandb"] = None  # type: ignore[assignment]
    try:
        import timm.utils  # noqa: F401
    finally:
        del sys.modules["wandb"]
