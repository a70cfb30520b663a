"""The training loop and what surrounds a step: checkpoints, prefetching, tuning, progress and curves.

Imports `models` and what lies below. The loop takes any task and never asks which stage or method it trains.
"""

import worker.training.models  # noqa: F401 before timm: it keeps wandb out of the process
