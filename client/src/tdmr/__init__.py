"""The client of tdmr, training as a service for small vision models.

from tdmr import Tdmr

client = Tdmr()
data = client.datasets.create("photos/")
job = client.jobs.create(dataset=data, teacher="resnet18.a1_in1k", student="mobilenetv3_small_050")
job.wait(progress=True)
model = job.download("model/")
print(model.predict("cat.jpg"))
"""

from tdmr import _version, errors, exports, models, problems
from tdmr._async.client import AsyncTdmr
from tdmr._async.datasets import AsyncDataset
from tdmr._async.job import AsyncJob
from tdmr._sync.client import Tdmr
from tdmr._sync.datasets import Dataset
from tdmr._sync.job import Job
from tdmr.errors import APIError, ConnectionFailed, DatasetRejected, DatasetUnclear, JobEnded, TdmrError
from tdmr.model import Guess, Model

__version__ = _version.VERSION

__all__ = [
    "APIError",
    "AsyncDataset",
    "AsyncJob",
    "AsyncTdmr",
    "ConnectionFailed",
    "Dataset",
    "DatasetRejected",
    "DatasetUnclear",
    "Guess",
    "Job",
    "JobEnded",
    "Model",
    "Tdmr",
    "TdmrError",
    "__version__",
    "errors",
    "exports",
    "models",
    "problems",
]
