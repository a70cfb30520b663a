"""Where else a job can be looked at: `job.export(MLflow())`. One module for each tool; a tool's own package is imported
only when something is exported to it."""

from tdmr.exports.hub import Hub
from tdmr.exports.mlflow import MLflow
from tdmr.exports.record import Record, Scalar, Target
from tdmr.exports.tensorboard import TensorBoard
from tdmr.exports.wandb import WandB

__all__ = ["Hub", "MLflow", "Record", "Scalar", "Target", "TensorBoard", "WandB"]
