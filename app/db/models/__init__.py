"""The tables. The row is the truth: whatever a message, a worker or a file says, these rows decide."""

from app.db.models.access import ApiKey, AuditEntry, Tenant, WebSession
from app.db.models.base import DEFAULT_TENANT, Base, Json, UtcDateTime, utcnow, whole_sum
from app.db.models.datasets import Dataset, DatasetClass, DatasetIdempotencyKey, PartialRow
from app.db.models.jobs import Artifact, IdempotencyKey, Job, JobEvent, JobMetric, JobPreview, QueueTurn
from app.db.models.trackings import Tracking
from app.db.models.webhooks import Webhook, WebhookDelivery
from app.db.models.workers import CatalogRow, Speed, Total, Worker

__all__ = [
    "DEFAULT_TENANT",
    "ApiKey",
    "Artifact",
    "AuditEntry",
    "Base",
    "CatalogRow",
    "Dataset",
    "DatasetClass",
    "DatasetIdempotencyKey",
    "IdempotencyKey",
    "Job",
    "JobEvent",
    "JobMetric",
    "JobPreview",
    "Json",
    "PartialRow",
    "QueueTurn",
    "Speed",
    "Tenant",
    "Total",
    "Tracking",
    "UtcDateTime",
    "WebSession",
    "Webhook",
    "WebhookDelivery",
    "Worker",
    "utcnow",
    "whole_sum",
]
