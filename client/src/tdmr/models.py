"""What the service returns and takes. Generated from its OpenAPI document by client/tools; not to be edited.

Every model keeps fields that it does not know, and a text of a few known values may have another one: a newer service
may say more, and that is no error.
"""

from datetime import datetime
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field


class Model(BaseModel):
    """The base of all models."""

    model_config = ConfigDict(extra="allow", protected_namespaces=(), use_attribute_docstrings=True)


class Answer(Model):
    """What a predictor says of an image."""

    answer: str
    """The class it takes the image for."""
    probability: float
    """That it gives to its answer."""


Scope: TypeAlias = Literal["read", "write", "admin"] | str
"""What a key may do. None includes another."""


class ApiKey(Model):
    """An API key without its secret."""

    id: str
    """Its id; not the key itself."""
    object: Literal["api_key"] = "api_key"
    tenant: str
    """Whose objects it may reach."""
    name: str
    """What it is for."""
    scopes: list[Scope]
    """What it may do."""
    created_at: datetime
    """When it was created."""
    expires_at: datetime | None = None
    """When it stops working; null: never."""
    last_used_at: datetime | None = None
    """Accurate to one minute."""


class ApiKeyCreate(Model):
    """A new API key."""

    name: str
    """What the key is for."""
    scopes: list[Scope] = Field(default_factory=lambda: ["read", "write"])
    """`read` allows reading, `write` allows changes, `admin` manages keys; no scope includes another."""
    expires_in_days: int | None = None
    """Null: the key does not expire."""
    tenant: str | None = None
    """Only for the operator's keys; null means your own tenant."""


class ApiKeyCreated(Model):
    """A new API key. Only this answer contains the secret."""

    id: str
    """Its id; not the key itself."""
    object: Literal["api_key"] = "api_key"
    tenant: str
    """Whose objects it may reach."""
    name: str
    """What it is for."""
    scopes: list[Scope]
    """What it may do."""
    created_at: datetime
    """When it was created."""
    expires_at: datetime | None = None
    """When it stops working; null: never."""
    last_used_at: datetime | None = None
    """Accurate to one minute."""
    key: str
    """Send it as `Authorization: Bearer …`."""


class Artifact(Model):
    """A published file."""

    name: str
    """The last part of its URL; with several students `<student>/<file>`."""
    object: Literal["artifact"] = "artifact"
    bytes: int
    """Its size."""
    sha256: str
    """SHA-256 of its bytes."""
    media_type: str
    """As its download states it."""


class AuditEntry(Model):
    """One entry of the audit trail."""

    id: str
    """Its id."""
    object: Literal["audit_entry"] = "audit_entry"
    actor: str
    """Id of the API key, or `bootstrap`, `local`, `cli` or `service`."""
    action: str
    """The operationId in this document."""
    object_id: str | None = None
    """What was changed."""
    request_id: str | None = None
    """Also in the log."""
    address: str | None = None
    """From where the request came."""
    created_at: datetime
    """When it was done."""


class ReliabilityBin(Model):
    """The images whose top probability lies in (low, high]."""

    low: float
    """Lower end of the bin, which does not belong to it."""
    high: float
    """Upper end of the bin, which belongs to it."""
    images: int
    """How many images lie in it."""
    confidence: float | None = None
    """Mean top probability; None without images."""
    accuracy: float | None = None
    """The part that was right; of a well calibrated predictor it equals `confidence`."""
    accuracy_interval: tuple[float, float] | None = None
    """Wilson's."""


class Calibration(Model):
    """How far the softmax can be taken at its word."""

    ece: float
    """Expected calibration error, 15 equal bins of the top confidence; 0 is best."""
    nll: float
    """Mean negative log-likelihood of the true class, in nats."""
    brier: float
    """Mean over images of the squared distance between the probabilities and the truth, summed over classes: 0..2."""
    bins: list[ReliabilityBin] = Field(default_factory=list)
    """Those behind `ece`: the mean of |accuracy − confidence|, weighted by images."""


class ConstraintsOutput(Model):
    """What a file must keep to. Of all exported files that do, the most accurate is chosen, the faster one if two are
    equally accurate. Where none does, the job succeeds all the same, and says which comes closest."""

    max_latency_ms: float | None = None
    """Most milliseconds for one image: the median of the timed calls with a batch of 1 on the worker's own CPU, with
    the threads that the manifest states. The file is what is timed, whatever its format. Judge another device by
    measuring there; on the worker's it tells which of two files is faster."""
    max_bytes: int | None = None
    """Largest file, as it is downloaded."""
    min_accuracy: float | None = None
    """Least top-1 accuracy, as a fraction, on the images that the student is evaluated on."""


class Miss(Model):
    """A constraint that a file does not keep to."""

    constraint: Literal["max_latency_ms", "max_bytes", "min_accuracy"] | str
    """Which one."""
    wanted: float
    """Its bound."""
    got: float | None = None
    """None where it was not measured."""
    by: float | None = None
    """How far beyond what was wanted, in the constraint's own unit."""


class Choice(Model):
    """The file that answers the job's `constraints`."""

    met: bool
    """Whether it keeps to all of them. If not, it is the one that comes closest: `misses` tells by how much."""
    student: str
    """The student's name in the spec."""
    file: str
    """The file's name, for example `student.onnx` or `resnet18/student.onnx`."""
    accuracy: float
    """Top-1 accuracy of the file, as a fraction."""
    latency_ms: float | None = None
    """Median for one image on the worker's CPU; null where it was not measured."""
    bytes: int
    """Size of the file."""
    misses: list[Miss] = Field(default_factory=list)
    """The constraints that it does not keep to."""
    constraints: ConstraintsOutput
    """As they were asked for."""
    summary: str
    """All this in a sentence or two."""


class ChosenLayout(Model):
    """Which of the offered readings is meant."""

    layout: str
    """An id of `layout.readings`."""


class ClassProbability(Model):
    """The predicted probability of one class."""

    name: str = Field(alias="class")
    """The class."""
    probability: float
    """Softmax of the logits; all classes sum to 1."""


class ClassScore(Model):
    """One class against the rest. A ratio without a denominator is 0, as usual; `support` and `predicted` tell."""

    name: str
    """Of the class."""
    precision: float
    """Of the images that were taken for this class, the part that is of it."""
    recall: float
    """Of the images of this class, the part that was taken for it."""
    f1: float
    """Harmonic mean of the two."""
    support: int
    """Images of this class."""
    predicted: int | None = None
    """Images that were taken for it."""
    precision_interval: tuple[float, float] | None = None
    """Wilson's; None without a denominator."""
    recall_interval: tuple[float, float] | None = None
    """Wilson's; None without a denominator."""


class Compared(Model):
    """One side of a difference."""

    job_id: str
    """The student's job."""
    student: str | None = None
    """As the spec calls it; null for a job that trains none."""


class ComparedFile(Model):
    """An exported file."""

    name: str
    """As in the job's list of files."""
    bytes: int
    """Its size."""
    latency_ms: float | None = None
    """Median of one image on the worker's CPU; null if it was not measured. Compare it only where `cpu` is the same."""
    threads: int | None = None
    """With which it was measured."""
    top1_agreement: float | None = None
    """Part of the evaluated images on which it answers as the trained student does."""
    max_logit_difference: float | None = None
    """The largest distance from the trained student's logits."""
    accuracy_loss: float | None = None
    """Of int8: the student's accuracy less the file's."""


class ComparedStudent(Model):
    """A student of one of the jobs, or of a job that trains none its probe."""

    student: str | None = None
    """As the spec calls it; null for a job that trains none."""
    split: str | None = None
    """The images that it was judged on: `test`, or `val` or `train` where there are no test images."""
    images: int | None = None
    """How many."""
    top1: float | None = None
    """Accuracy; null where `note` says why."""
    top1_interval: tuple[float, float] | None = None
    """Wilson's 95 % interval of this accuracy alone. Whether two students differ is told by `differences`."""
    macro_f1: float | None = None
    """Mean F1 over the classes that have images."""
    teacher_top1: float | None = None
    """Of the reprogrammed teacher on the same images."""
    files: list[ComparedFile]
    """Its exported files."""
    note: str | None = None
    """Why something is missing."""


Stage: TypeAlias = Literal["prepare", "reprogram", "distill", "evaluate", "export"] | str
"""What a running job is doing. Stands beside the state, never inside it."""


class CurveSeries(Model):
    """One curve, thinned out to at most 100 points."""

    stage: Stage
    """The stage that it belongs to."""
    name: str
    """Of the metric: `loss`, or with several students `resnet18/loss`."""
    steps: list[int]
    """Of its points."""
    values: list[float]
    """As many as `steps`."""


JobState: TypeAlias = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"] | str
"""The state of a job. `succeeded`, `failed` and `cancelled` are final."""


class ComparedJob(Model):
    """One of the jobs."""

    id: str
    """The job's id."""
    state: JobState
    """Only a job that has succeeded has accuracies and files."""
    method: str
    """How its students learned."""
    dataset_id: str
    """The data set that it ran on."""
    dataset_digest: str | None = None
    """Equal for equal images, labels and splits, also in different data sets; null if the job's files do not tell."""
    created_at: datetime
    """When it was created."""
    started_at: datetime | None = None
    """When a worker first began with it."""
    finished_at: datetime | None = None
    """When it ended."""
    cpu: str | None = None
    """The processor on which its files were timed."""
    students: list[ComparedStudent]
    """In the order in which they were trained."""
    curves: list[CurveSeries]
    """One for each metric."""


class JudgedImage(Model):
    """One image, and who said what of it."""

    path: str
    """As the user named it."""
    label: str
    """The image's class according to the data set."""
    student: Answer | None = None
    """What the student says of it."""
    teacher: Answer | None = None
    """What the reprogrammed teacher says of it."""
    probe: Answer | None = None
    """What the linear probe says of it."""


class ConfusionCell(Model):
    """A cell of the confusion matrix with images in it."""

    label: str
    """The true class."""
    predicted: str
    """The class that the images were taken for."""
    count: int
    """All of them; `images` lists at most 8."""
    images: list[JudgedImage]
    """Those first about which the predictor was surest: its worst mistakes, and its clearest cases."""


class Constraints(Model):
    """What a file must keep to. Of all exported files that do, the most accurate is chosen, the faster one if two are
    equally accurate. Where none does, the job succeeds all the same, and says which comes closest."""

    max_latency_ms: float | None = None
    """Most milliseconds for one image: the median of the timed calls with a batch of 1 on the worker's own CPU, with
    the threads that the manifest states. The file is what is timed, whatever its format. Judge another device by
    measuring there; on the worker's it tells which of two files is faster."""
    max_bytes: int | None = None
    """Largest file, as it is downloaded."""
    min_accuracy: float | None = None
    """Least top-1 accuracy, as a fraction, on the images that the student is evaluated on."""


class MetricPoint(Model):
    """One point of the training curves."""

    stage: Stage
    """The stage that trains."""
    step: int
    """Optimiser step within the stage; with `students` it continues from one student to the next."""
    values: dict[str, float]
    """By name: losses are means since the previous point, accuracies fractions from 0 to 1."""


class Curves(Model):
    """The training curves of a job, by stage and step."""

    object: Literal["curves"] = "curves"
    points: list[MetricPoint]
    """By stage and step."""


DatasetState: TypeAlias = Literal["validating", "needs_answer", "ready", "rejected"] | str
"""The state of a data set's import. `ready` and `rejected` are final."""


class Failure(Model):
    """Why a job failed or a data set was rejected; the fields are those of an HTTP problem."""

    code: str
    """The kind of failure, for programs."""
    title: str | None = None
    """The failure in a few words; the same for every one of its code."""
    detail: str
    """What happened this time."""
    hint: str | None = None
    """How to fix it."""


Split: TypeAlias = Literal["train", "val", "test", "unlabelled"] | str
"""What an image is for."""


class OfferedReading(Model):
    """One way to read an archive."""

    id: str
    """Names it: `folders:2`, `table:train.csv`."""
    sentence: str
    """`4 classes from the second folder level, splits from `Training` and `Testing`.`"""
    class_count: int
    """All classes, also those that are not named."""
    classes: list[str]
    """The first 20."""
    counts: dict[str, int] = Field(default_factory=dict)
    """Split to images, as far as the archive gives splits."""
    evidence: list[str] = Field(default_factory=list)
    """Sentences: what speaks for it."""


class Understanding(Model):
    """What the import has understood of an archive, and what it has not."""

    sentence: str
    """What was understood; or, where it asks, what is possible."""
    reading: str
    """The id of the reading that was taken, or that is the likeliest."""
    evidence: list[str] = Field(default_factory=list)
    """Sentences: what speaks for it."""
    ignored: list[str] = Field(default_factory=list)
    """Sentences about what was not used, each with the reason."""
    warnings: list[str] = Field(default_factory=list)
    """Sentences about how it was read; they stand among the report's too."""
    readings: list[OfferedReading] = Field(default_factory=list)
    """Ways to read it that give different classes, the likeliest first; one alone where there is no other."""


class Dataset(Model):
    """A data set with its classes."""

    id: str
    """Its id."""
    object: Literal["dataset"] = "dataset"
    name: str
    """As it was named, or its file's name."""
    state: DatasetState
    """A job needs a data set that is `ready`. One in `needs_answer` can be read in several ways: choose one with `POST
    /v1/datasets/{dataset_id}/layout`."""
    progress: float
    """Progress of the import, 0 to 1; the first half of it is the download of an archive that is fetched. Restarts if
    another worker takes over."""
    bytes: int
    """Size of the archive; of one that is fetched, 0 until its server has told it or all has come."""
    sha256: str | None = None
    """SHA-256 of the archive; null until it has been fetched."""
    source_url: str | None = None
    """The address that the archive is fetched from, without its query; null if it was uploaded."""
    digest: str | None = None
    """Digest of the content: equal for equal images, labels and splits."""
    class_count: int | None = None
    """Number of classes; null until ready."""
    images: int | None = None
    """Number of usable images; null until ready."""
    counts: dict[str, int] | None = None
    """Number of images per split; null until ready."""
    error: Failure | None = None
    """Why it was rejected."""
    created_at: datetime
    """When it was uploaded, or its address was sent."""
    updated_at: datetime
    """When its state or progress last changed."""
    layout: Understanding | None = None
    """How the archive was read, with the evidence and what else it could have been. In the state `needs_answer` its
    `readings` are those to choose from with `POST /v1/datasets/{dataset_id}/layout`. Null until the import has
    ended, if it was rejected, and for data sets that an earlier version imported."""
    classes: list[str] | None = None
    """The first 200 class names in the order of the student's outputs; null until ready. `GET
    /v1/datasets/{dataset_id}/classes` lists all `class_count` of them."""


class DatasetClass(Model):
    """A class of a data set."""

    object: Literal["class"] = "class"
    index: int
    """Its place among the student's outputs, from 0; pass the last one as `after`."""
    name: str
    """As the archive names it."""
    counts: dict[str, int]
    """Number of labelled images per split."""


class DatasetFromAddress(Model):
    """Create a data set from an archive that the service fetches."""

    source_url: str
    """Where the archive lies: an https address that needs no sign-in (a signed one does not), or an object in a bucket
    that the operator has opened. It must be public, unless the operator allows it."""
    layout: str | None = None
    """The reading that is meant, as an import has offered it in `layout.readings`, or what its id begins with:
    `folders`, `table`, `coco`, ..."""
    encoding: str | None = None
    """Of names in a zip, and of tables, that are not UTF-8: `gbk`, `cp932`, `cp850`, ... Default: guessed."""
    labels_column: str | None = None
    """The heading of the column that tells the class. Default: found by its name and its content."""
    unlabelled_classes: list[str] | None = None
    """Classes whose images have no label; `unlabeled` and `no_label` always mean that."""
    stretch: bool | None = None
    """Spread the values of images with more than 8 bits over black to white, all alike."""
    name: str | None = None
    """Default: the last part of the address."""


class DatasetFromUpload(Model):
    """Create a data set from a completed upload."""

    upload_id: str
    """A completed upload of `POST /v1/uploads`."""
    layout: str | None = None
    """The reading that is meant, as an import has offered it in `layout.readings`, or what its id begins with:
    `folders`, `table`, `coco`, ..."""
    encoding: str | None = None
    """Of names in a zip, and of tables, that are not UTF-8: `gbk`, `cp932`, `cp850`, ... Default: guessed."""
    labels_column: str | None = None
    """The heading of the column that tells the class. Default: found by its name and its content."""
    unlabelled_classes: list[str] | None = None
    """Classes whose images have no label; `unlabeled` and `no_label` always mean that."""
    stretch: bool | None = None
    """Spread the values of images with more than 8 bits over black to white, all alike."""
    name: str | None = None
    """Default: the `filename` or `name` of its Upload-Metadata."""


class DatasetNews(Model):
    """A data set as it was at the time of the event."""

    id: str
    """`GET /v1/datasets/{id}` has the whole data set."""
    object: Literal["dataset"] = "dataset"
    state: str
    """`ready`, `rejected` or `needs_answer`."""
    name: str
    """Name of the uploaded archive."""
    images: int | None = None
    """Number of usable images; null unless it is ready."""
    class_count: int | None = None
    """Number of classes; null unless it is ready."""
    error: dict[str, Any] | None = None
    """Of one that was rejected: `code`, `title`, `detail`, `hint`."""


class ImageCopy(Model):
    """One of several files that show the same picture."""

    path: str
    """As the user named it."""
    split: Split
    """Where the copy belongs."""
    label: str | None = None
    """Its class; null for an unlabelled image."""


class Spread(Model):
    """Least, middle and most of something counted."""

    least: int
    """The smallest value."""
    median: int
    """The middle value."""
    most: int
    """The largest value."""


class ImageSizes(Model):
    """What the usable images are."""

    width: Spread
    """Pixels, upright."""
    height: Spread
    """Pixels, upright."""
    formats: dict[str, int]
    """Pillow's name of the format to images: `JPEG`, `PNG`, …"""


class SkippedFile(Model):
    """A file that was left out, and why."""

    path: str
    """As the user named it."""
    reason: str
    """Why it was left out."""


class DatasetReport(Model):
    """What the import found. `warnings` are sentences for a person, each with what to do."""

    classes: list[str] = Field(default_factory=list)
    """In the order of the student's outputs. What the service shows names the first 200."""
    class_count: int = 0
    """All classes, also those that are not named."""
    counts: dict[str, dict[str, int]] = Field(default_factory=dict)
    """Split to class name to images; unlabelled images stand under the empty class name. Of the classes named."""
    totals: dict[str, int] = Field(default_factory=dict)
    """Split to images, of all classes."""
    images: int = 0
    """Usable images."""
    sizes: ImageSizes | None = None
    """What the usable images are; null in reports of an early version."""
    skipped: list[SkippedFile] = Field(default_factory=list)
    """Files that were left out; at most the first 1,000."""
    skipped_total: int = 0
    """All skipped files."""
    duplicates: list[list[ImageCopy]] = Field(default_factory=list)
    """Groups of files with the same bytes; at most the first 1,000, and the first 20 files of each."""
    duplicates_total: int = 0
    """All such groups."""
    near_duplicates: list[list[ImageCopy]] = Field(default_factory=list)
    """Groups of files with other bytes that show the same picture, in another size or quality; bounded likewise."""
    near_duplicates_total: int = 0
    """All such groups."""
    warnings: list[str] = Field(default_factory=list)
    """Advice, each with what to do."""
    split_source: str = "given"
    """`given` by the archive, or `stratified, seed N` where the import made the split."""
    digest: str = ""
    """Digest of the content: equal for equal images, labels and splits."""
    layout: Understanding | None = None
    """How the archive was read; None where an earlier version has imported it."""


class DatasetSummary(Model):
    """An archive of labelled images and the state of its import."""

    id: str
    """Its id."""
    object: Literal["dataset"] = "dataset"
    name: str
    """As it was named, or its file's name."""
    state: DatasetState
    """A job needs a data set that is `ready`. One in `needs_answer` can be read in several ways: choose one with `POST
    /v1/datasets/{dataset_id}/layout`."""
    progress: float
    """Progress of the import, 0 to 1; the first half of it is the download of an archive that is fetched. Restarts if
    another worker takes over."""
    bytes: int
    """Size of the archive; of one that is fetched, 0 until its server has told it or all has come."""
    sha256: str | None = None
    """SHA-256 of the archive; null until it has been fetched."""
    source_url: str | None = None
    """The address that the archive is fetched from, without its query; null if it was uploaded."""
    digest: str | None = None
    """Digest of the content: equal for equal images, labels and splits."""
    class_count: int | None = None
    """Number of classes; null until ready."""
    images: int | None = None
    """Number of usable images; null until ready."""
    counts: dict[str, int] | None = None
    """Number of images per split; null until ready."""
    error: Failure | None = None
    """Why it was rejected."""
    created_at: datetime
    """When it was uploaded, or its address was sent."""
    updated_at: datetime
    """When its state or progress last changed."""


class DatasetUpload(Model):
    """An archive of labelled images, as a form."""

    file: str
    """zip, tar, tar.gz or tar.zst: one folder per class, optionally inside `train/`, `val/` and `test/`, with an
    optional `unlabeled/`; images with a table that names them; the export of a labelling tool; or a single parquet
    file with images and labels."""
    name: str | None = None
    """Default: the name of the file."""
    layout: str | None = None
    """The reading that is meant, as an import has offered it in `layout.readings`, or what its id begins with:
    `folders`, `table`, `coco`, ... All of these are read from Upload-Metadata and from JSON too."""
    encoding: str | None = None
    """Of names in a zip, and of tables, that are not UTF-8: `gbk`, `cp932`, `cp850`, ... Default: guessed."""
    labels_column: str | None = None
    """The heading of the column that tells the class. Default: found by its name and its content."""
    unlabelled_classes: str | None = None
    """Classes whose images have no label; `unlabeled` and `no_label` always mean that. With commas between them."""
    stretch: Literal["true", "false"] | str | None = None
    """Spread the values of images with more than 8 bits over black to white, all alike."""


class DeliveryAttempt(Model):
    """One request to the receiver."""

    at: datetime
    """When it was begun."""
    seconds: float
    """How long it took."""
    status: int | None = None
    """HTTP status of the answer; null if there was none."""
    error: str | None = None
    """Why it failed; null if it succeeded."""


DeliveryState: TypeAlias = Literal["pending", "succeeded", "failed"] | str
"""`pending` until it has been received or given up."""

EventType: TypeAlias = (
    Literal[
        "job.queued",
        "job.running",
        "job.paused",
        "job.succeeded",
        "job.failed",
        "job.cancelled",
        "dataset.ready",
        "dataset.needs_answer",
        "dataset.rejected",
        "webhook.test",
    ]
    | str
)
"""What happened."""


class Delivery(Model):
    """An event for one receiver, and what became of it."""

    id: str
    """Its id."""
    object: Literal["webhook_delivery"] = "webhook_delivery"
    """The kind of this object."""
    webhook_id: str
    """The webhook that it is for."""
    url: str | None = None
    """The job's `webhook_url`; null if it goes to the webhook's own URL."""
    event_id: str
    """The event; the same for all receivers and attempts. Sent as `webhook-id`."""
    event_type: EventType
    """What it tells."""
    object_id: str
    """Id of the job, data set or webhook that it is about."""
    state: DeliveryState
    """`pending` while there is another attempt to come; `succeeded` once the receiver has answered 2xx; `failed` after
    the last attempt."""
    attempts: int
    """Attempts that were made; counted from 0 again when it is redelivered."""
    next_attempt_at: datetime | None = None
    """When the next attempt is due; null if there is none."""
    status: int | None = None
    """HTTP status of the last answer."""
    error: str | None = None
    """Why the last attempt failed; null if it succeeded."""
    answer: str | None = None
    """The first 1,024 bytes of the last answer's body."""
    log: list[DeliveryAttempt]
    """The last ten attempts, oldest first."""
    event: dict[str, Any]
    """The body that is sent."""
    created_at: datetime
    """When the event happened."""
    finished_at: datetime | None = None
    """When it was received, or given up."""


class DistillConfig(Model):
    """Stage 2: the student learns. Each method reads some of these options and may have its own (docs/method.md). A
    new job that sets an option which its method does not read is refused."""

    image_steps: int = 150000
    """The budget: images seen by the student in training, whatever the data set's size. The time of a job grows with
    it; docs/benchmarks.md was measured with 60,000. With half of that the methods came in another order."""
    batch_size: int = 32
    """Images per step; clamped to the images there are, and the event log says so. The budget is counted in images, so
    smaller batches take more steps: after 60,000 image steps `tdmr` had 70.9 % and 75.7 % on two data sets with 64,
    72.1 % and 78.9 % with 32. On a GPU larger ones are faster."""
    optimiser: Literal["muon", "adamw"] | str = "muon"
    """`muon` orthogonalises the update of each weight matrix (Jordan et al., 2024; timm's, with AdamW for vectors):
    after 40,000 image steps KD had 61 % on one data set and 58 % on another where AdamW had 56 % and 44 %."""
    learning_rate: float | None = None
    """The optimiser's peak learning rate. None: 1e-2 for `muon` and 3e-3 for `adamw`; a tenth of it from pretrained
    weights, which a higher one would undo."""
    head_first: bool = True
    """A student that starts from pretrained weights: train its new classifier on its frozen features, for seconds,
    before it learns as a whole (Kumar et al., arXiv 2202.10054)."""
    weight_decay: float = 0.05
    """AdamW's weight decay; biases and norms are left out."""
    warmup: float = 0.05
    """Fraction of the steps in which the learning rate rises linearly; a cosine follows."""
    clip_norm: float = 1.0
    """Gradients are scaled down to this global norm."""
    ema: float = 0.999
    """Decay of the averaged weights, which are what is evaluated and exported; 0 turns averaging off. The decay rises
    from 0 as 1 − (1 + t)^−0.75, so that short runs are not held back by their first steps."""
    temperature: float = 2.0
    """Softens both distributions before KL; higher passes on more of the teacher's ranking (Hinton et al., 2015)."""
    schedule: Literal["static", "fading", "progressive", "reversed"] | str = "static"
    """When alignment, proxy and relation losses count. `static` holds all weights; `fading` lets them fade over the
    second half, which leaves the task; `progressive` moves the alignment from shallow to deep stages, then to the
    task; `reversed` runs the progressive alignment backwards, a control."""
    label_share: float = 0.0
    """At least this part of a batch is labelled where unlabelled images take part; 0 takes images as they come. A
    quarter, with `ce_weight` 1, gave 1.4 points where labels alone teach well (hand signs) and cost 2 where they do
    not (clothing)."""
    handover: bool = True
    """`tdmr`: once the averaged student's cross-entropy on the validation images is below its teacher's, let the
    labels take the lead over the next 40 % of the steps: three quarters of a batch labelled, CE 1, KD 0.3. A
    teacher that knows less holds its student back, so KD is then from the teacher and the averaged student itself,
    in the share that is best on the validation images. Where the student stays behind its teacher nothing changes."""
    ce_weight: float = 0.2
    """Weight of the labels' cross-entropy beside KD's 0.9, in `tdmr` and `kd` and those built on it."""
    align_weight: float = 0.0
    """Scales L_al, the cosine distance of each student stage to the teacher in the proxy space. 1 puts a student ahead
    at half time; at the end it ties on each of three data sets, with `relation_weight` 1 too; so it is off."""
    proxy_weight: float = 0.0
    """L_pk: KL between the teacher's logits and the student's projection read by the frozen class proxies. 0.5 gave
    -0.2 points on test and -1.1 on validation images over 17 pairs of runs; so it is off."""
    relation_weight: float = 0.0
    """L_rel: distance of the batch's centred, normalised Gram matrices in the proxy space. Off for the same reason."""
    use_unlabelled: bool = True
    """Let the data set's `unlabeled/` images join stage 2, without cross-entropy. The largest single gain there is."""
    inter_weight: float | None = None
    """β, weight of the correlation over an image's classes. Default: 1.0."""
    intra_weight: float | None = None
    """γ, weight of the correlation over a class's images. Default: 1.0."""
    target_weight: float | None = None
    """α, weight of the target class against the rest. Default: 1.0."""
    others_weight: float | None = None
    """β, weight of the KL among the other classes. Default: 8.0."""
    kd_warmup: float | None = None
    """Fraction of the steps in which both weights rise linearly: 20 of 240 epochs. Default: 0.08333333333333333."""
    kd_weight: float | None = None
    """Weight of the KL beside the labels' `ce_weight`; that of `tdmr` when static. Default: 0.9."""
    hint_weight: float | None = None
    """Weight of each hint. Standardised taps have a variance of 1, so each hint starts near 1 as well. Default: 1.0."""
    threshold: float | None = None
    """So sure the student must be of an image for its guess to count as a label. Default: 0.95."""
    unlabelled_weight: float | None = None
    """Weight of the cross-entropy on guessed labels. Default: 1.0."""
    distance_weight: float | None = None
    """Weight of the pairwise distances. Default: 25.0."""
    angle_weight: float | None = None
    """Weight of the angles of each three images. Default: 50.0."""
    label_weight: float | None = None
    """Weight of the labels' cross-entropy. Default: 0.01208791208791209."""


class DistillConfigOutput(Model):
    """Stage 2: the student learns. Each method reads some of these options and may have its own (docs/method.md). A
    new job that sets an option which its method does not read is refused."""

    image_steps: int = 150000
    """The budget: images seen by the student in training, whatever the data set's size. The time of a job grows with
    it; docs/benchmarks.md was measured with 60,000. With half of that the methods came in another order."""
    batch_size: int = 32
    """Images per step; clamped to the images there are, and the event log says so. The budget is counted in images, so
    smaller batches take more steps: after 60,000 image steps `tdmr` had 70.9 % and 75.7 % on two data sets with 64,
    72.1 % and 78.9 % with 32. On a GPU larger ones are faster."""
    optimiser: Literal["muon", "adamw"] | str = "muon"
    """`muon` orthogonalises the update of each weight matrix (Jordan et al., 2024; timm's, with AdamW for vectors):
    after 40,000 image steps KD had 61 % on one data set and 58 % on another where AdamW had 56 % and 44 %."""
    learning_rate: float | None = None
    """The optimiser's peak learning rate. None: 1e-2 for `muon` and 3e-3 for `adamw`; a tenth of it from pretrained
    weights, which a higher one would undo."""
    head_first: bool = True
    """A student that starts from pretrained weights: train its new classifier on its frozen features, for seconds,
    before it learns as a whole (Kumar et al., arXiv 2202.10054)."""
    weight_decay: float = 0.05
    """AdamW's weight decay; biases and norms are left out."""
    warmup: float = 0.05
    """Fraction of the steps in which the learning rate rises linearly; a cosine follows."""
    clip_norm: float = 1.0
    """Gradients are scaled down to this global norm."""
    ema: float = 0.999
    """Decay of the averaged weights, which are what is evaluated and exported; 0 turns averaging off. The decay rises
    from 0 as 1 − (1 + t)^−0.75, so that short runs are not held back by their first steps."""
    temperature: float = 2.0
    """Softens both distributions before KL; higher passes on more of the teacher's ranking (Hinton et al., 2015)."""
    schedule: Literal["static", "fading", "progressive", "reversed"] | str = "static"
    """When alignment, proxy and relation losses count. `static` holds all weights; `fading` lets them fade over the
    second half, which leaves the task; `progressive` moves the alignment from shallow to deep stages, then to the
    task; `reversed` runs the progressive alignment backwards, a control."""
    label_share: float = 0.0
    """At least this part of a batch is labelled where unlabelled images take part; 0 takes images as they come. A
    quarter, with `ce_weight` 1, gave 1.4 points where labels alone teach well (hand signs) and cost 2 where they do
    not (clothing)."""
    handover: bool = True
    """`tdmr`: once the averaged student's cross-entropy on the validation images is below its teacher's, let the
    labels take the lead over the next 40 % of the steps: three quarters of a batch labelled, CE 1, KD 0.3. A
    teacher that knows less holds its student back, so KD is then from the teacher and the averaged student itself,
    in the share that is best on the validation images. Where the student stays behind its teacher nothing changes."""
    ce_weight: float = 0.2
    """Weight of the labels' cross-entropy beside KD's 0.9, in `tdmr` and `kd` and those built on it."""
    align_weight: float = 0.0
    """Scales L_al, the cosine distance of each student stage to the teacher in the proxy space. 1 puts a student ahead
    at half time; at the end it ties on each of three data sets, with `relation_weight` 1 too; so it is off."""
    proxy_weight: float = 0.0
    """L_pk: KL between the teacher's logits and the student's projection read by the frozen class proxies. 0.5 gave
    -0.2 points on test and -1.1 on validation images over 17 pairs of runs; so it is off."""
    relation_weight: float = 0.0
    """L_rel: distance of the batch's centred, normalised Gram matrices in the proxy space. Off for the same reason."""
    use_unlabelled: bool = True
    """Let the data set's `unlabeled/` images join stage 2, without cross-entropy. The largest single gain there is."""
    inter_weight: float | None = None
    """β, weight of the correlation over an image's classes. Default: 1.0."""
    intra_weight: float | None = None
    """γ, weight of the correlation over a class's images. Default: 1.0."""
    target_weight: float | None = None
    """α, weight of the target class against the rest. Default: 1.0."""
    others_weight: float | None = None
    """β, weight of the KL among the other classes. Default: 8.0."""
    kd_warmup: float | None = None
    """Fraction of the steps in which both weights rise linearly: 20 of 240 epochs. Default: 0.08333333333333333."""
    kd_weight: float | None = None
    """Weight of the KL beside the labels' `ce_weight`; that of `tdmr` when static. Default: 0.9."""
    hint_weight: float | None = None
    """Weight of each hint. Standardised taps have a variance of 1, so each hint starts near 1 as well. Default: 1.0."""
    threshold: float | None = None
    """So sure the student must be of an image for its guess to count as a label. Default: 0.95."""
    unlabelled_weight: float | None = None
    """Weight of the cross-entropy on guessed labels. Default: 1.0."""
    distance_weight: float | None = None
    """Weight of the pairwise distances. Default: 25.0."""
    angle_weight: float | None = None
    """Weight of the angles of each three images. Default: 50.0."""
    label_weight: float | None = None
    """Weight of the labels' cross-entropy. Default: 0.01208791208791209."""


class Limit(Model):
    """A limit that the job would run into."""

    setting: str
    """The setting, or `memory` for what a worker has."""
    detail: str
    """By how much, in words."""


class Range(Model):
    """A number that is not known exactly."""

    low: float
    """It will rarely be less."""
    expected: float
    """The best guess."""
    high: float
    """It will rarely be more."""


class Estimate(Model):
    """What a job would take. Numbers come from what the workers have measured; a number that nobody knows is null, and
    `unknown` has the reason."""

    object: Literal["estimate"] = "estimate"
    seconds: Range | None = None
    """Of the run, without the wait for a worker."""
    stages: dict[str, Range | None]
    """Seconds a stage."""
    memory_bytes: Range | None = None
    """The training process's memory at its peak."""
    device_memory_bytes: Range | None = None
    """The accelerator's memory at its peak."""
    cache_bytes: int | None = None
    """What it keeps in the worker's cache for later jobs, decoded images and the teacher's answers."""
    storage_bytes: int
    """Its published weights, in all formats; reports add about a megabyte."""
    cached: list[str]
    """Probably in the cache of the only worker host since an earlier job; `seconds` counts on it."""
    measured: bool
    """Whether each student was measured at this size; otherwise some are interpolated from others by their arithmetic,
    and the range is wider."""
    machines: list[str]
    """The kinds of machines that may take the job; with several, the range spans all of them."""
    unknown: dict[str, str]
    """Why a number is null, by its name."""
    limits: list[Limit]
    """Limits that it would run into, as this service is configured."""
    warnings: list[str]
    """As the created job's `warnings`."""
    estimated_start: datetime | None = None
    """When a worker would probably take the job."""


class Majority(Model):
    """What saying the training split's most frequent class to every image achieves: the floor of all floors."""

    name: str
    """Of that class."""
    top1: float
    """The part of the images that are of it."""
    top1_interval: tuple[float, float] | None = None
    """Wilson's."""


class PairedDifference(Model):
    """Who is better on the very same images. Both see each image, so only those count on which one alone is right.

    Two intervals of their own say less: they may overlap though one of the two is right wherever the other is.
    """

    other: str
    """`teacher`, `probe` or `majority`."""
    difference: float
    """Top-1 of the student, or for `probe` of the probe, minus the other's."""
    interval: tuple[float, float]
    """Newcombe's 95 % score interval for paired proportions (1998, method 10). It holds 0: these images do not tell."""
    only_this: int
    """Images on which the student alone is right."""
    only_other: int
    """Images on which the other alone is right."""
    p_value: float
    """McNemar's exact test, two-sided: how often two equals would differ so much on so many images."""


class PredictorScores(Model):
    """One predictor on one split."""

    top1: float
    """The part of the images whose most probable class is right."""
    top1_interval: tuple[float, float]
    """Wilson's 95 % interval for `top1`, from the number of images alone: training another seed may vary more."""
    top5: float | None = None
    """The part of the images with the right class among the five most probable. None with five classes or fewer."""
    macro_f1: float
    """Mean F1 over the classes that have images."""
    per_class: list[ClassScore]
    """In the order of the classes."""
    confusion: list[list[int]] | None = None
    """Rows are the truth, columns the prediction. None with more than 500 classes; `cells` has what is not 0."""
    calibration: Calibration
    """How far its probabilities can be trusted."""
    top5_interval: tuple[float, float] | None = None
    """Wilson's, where there is a `top5`."""


class Evaluation(Model):
    """`evaluation.json`: the student beside what it learned from."""

    split: Split
    """The images that all figures are about."""
    note: str | None = None
    """What to know about them, for example that there is no test split."""
    images: int
    """How many there are."""
    classes: list[str]
    """Of more than 500, `GET /v1/jobs/{job_id}/evaluation` shows the first 500 here and in `per_class`."""
    student: PredictorScores | None = None
    """None for `probe`, which trains none."""
    teacher: PredictorScores | None = None
    """The reprogrammed teacher."""
    probe: PredictorScores | None = None
    """A linear probe on the frozen teacher."""
    majority: Majority
    """The floor: one class for every image."""
    class_count: int | None = None
    """All classes, also those that are not named."""
    paired: list[PairedDifference] = Field(default_factory=list)
    """The student, or for `probe` the probe, against each of the others."""
    cells: list[ConfusionCell] = Field(default_factory=list)
    """The images behind the student's confusion matrix, or for `probe` the probe's: the most frequent confusions
    first, then the right answers in the order of the classes. At most 10,000."""


ExportFormat: TypeAlias = (
    Literal["onnx", "torchscript", "exported_program", "onnx_fp16", "onnx_int8", "onnx_pixels"] | str
)
"""Formats that a student can be downloaded in."""


class ExportConfig(Model):
    """Formats of the student, and how closely each must agree with the trained network."""

    formats: list[ExportFormat] = Field(default_factory=lambda: ["onnx", "torchscript"])
    """Each listed format is written and passes the parity check, or the job fails; only `onnx_int8` is withheld
    instead, with the reason in the manifest. `student.safetensors` is always written."""
    max_logit_difference: float = 0.0001
    """The parity check: max |Δlogit| to the PyTorch student on the evaluation images, for logits within ±10. The bound
    grows with larger logits and with the student's own float32 rounding; the manifest records it."""
    max_logit_difference_fp16: float = 0.1
    """The same for `onnx_fp16`, which keeps 11 bits of each number where float32 keeps 24; the bound grows with larger
    logits too."""
    max_accuracy_loss: float = 0.02
    """`onnx_int8` is withheld if its accuracy on the evaluation images is lower than the student's by more than this
    fraction. A loss of one image is always accepted: among 40 images it is 2.5 %, and no evidence. The manifest has
    the loss with its 95 % interval."""
    measure: bool = True
    """Time each file on the worker with 1 and with 32 images per call: some 5 seconds per file. The result is in the
    manifest's `measured`."""


class ExportConfigOutput(Model):
    """Formats of the student, and how closely each must agree with the trained network."""

    formats: list[ExportFormat] = Field(default_factory=lambda: ["onnx", "torchscript"])
    """Each listed format is written and passes the parity check, or the job fails; only `onnx_int8` is withheld
    instead, with the reason in the manifest. `student.safetensors` is always written."""
    max_logit_difference: float = 0.0001
    """The parity check: max |Δlogit| to the PyTorch student on the evaluation images, for logits within ±10. The bound
    grows with larger logits and with the student's own float32 rounding; the manifest records it."""
    max_logit_difference_fp16: float = 0.1
    """The same for `onnx_fp16`, which keeps 11 bits of each number where float32 keeps 24; the bound grows with larger
    logits too."""
    max_accuracy_loss: float = 0.02
    """`onnx_int8` is withheld if its accuracy on the evaluation images is lower than the student's by more than this
    fraction. A loss of one image is always accepted: among 40 images it is 2.5 %, and no evidence. The manifest has
    the loss with its 95 % interval."""
    measure: bool = True
    """Time each file on the worker with 1 and with 32 images per call: some 5 seconds per file. The result is in the
    manifest's `measured`."""


class Health(Model):
    """The health of the service."""

    status: Literal["ok"] = "ok"
    """Whether it answers."""
    checks: dict[str, Literal["ok", "away"] | str] = Field(default_factory=dict)
    """The state of each backing service."""
    workers: dict[str, int] = Field(default_factory=dict)
    """Workers that give signs of life, by queue. Without one requests are still accepted, and wait."""


class ImageUpload(Model):
    """One image, as a form."""

    file: str
    """One image: JPEG, PNG, WebP, BMP, GIF, TIFF or PPM."""


class ReprogramConfigOutput(Model):
    """Stage 1: from the frozen teacher's taps into the proxy space. It trains on cached taps, so it takes seconds."""

    taps: Literal["multi", "last"] | str = "multi"
    """`multi` reads four depths and the pre-logits vector (+2.5 to +4 points for the teacher); `last` only that."""
    width: int | None = None
    """D, the proxy width. None: 128 below 50 classes, else 256."""
    image_size: int | None = None
    """Side in pixels at which the teacher sees its views. None: the size it was pretrained at."""
    self_training: int = 2
    """Rounds of self-training after the first: each starts anew from the labels and from what the round before made of
    the unlabelled images, averaged over their views. On 10 classes of photographs with 20 labels each two rounds
    made 71 % into 73 %. Without unlabelled images there is nothing to guess."""
    steps: int = 500
    """Optimiser steps of a round, and of the probe. With 20 labels per class 1,000 steps were worse than 500."""
    batch_size: int = 128
    """Labelled images per step, and as many unlabelled ones beside them; clamped to the views that there are, and the
    event log says so."""
    learning_rate: float = 0.003
    """AdamW's peak learning rate."""
    weight_decay: float = 0.05
    """AdamW's weight decay."""
    dropout: float = 0.5
    """Dropout on the normalised taps in front of each adapter. With 20 labels per class 0.5 was 2 points over 0.1."""
    label_smoothing: float = 0.1
    """ε of the smoothed cross-entropy."""
    view_weight: float = 0.5
    """λ_v: how strongly a view and its shifted view must agree, in z (cosine) and in class (symmetric KL)."""
    moment_weight: float = 1.0
    """λ_m: how strongly mean and covariance of z must agree between the views and their shifted views."""
    input_reprogramming: bool = False
    """First learn what every image goes through before the teacher sees it, x' = γ⊙x + β + upsample(δ). For domains
    far from photographs; it needs gradients through the teacher, so it takes much longer than the rest of the
    stage."""
    input_steps: int = 200
    """Optimiser steps of input reprogramming, of 64 images each."""
    input_learning_rate: float = 0.01
    """AdamW's peak learning rate there: γ goes from 1 to −1, an inverted contrast, in some 200 steps of 1e-2."""


class ViewConfigOutput(Model):
    """How an image is cut. Teacher and student always see the same crop and flip (arXiv 2106.05237)."""

    mode: Literal["auto", "live", "cached"] | str = "auto"
    """`live` runs the teacher on each step's own views; `cached` runs it once over `count` views per image and reuses
    the answers. `auto`: live on a GPU, cached on a CPU."""
    count: int = 4
    """K, the cached views per image. 8 and 16 were no better than 4, nor 16 than 8 on two data sets with three seeds
    each, nor 64 for 200 images alone; asking the teacher takes time in proportion."""
    min_scale: float = 0.35
    """Smallest crop as a fraction of the image's area."""
    hflip: bool = True
    """Mirror half of the views. Turn it off where left and right mean something (digits, text, traffic signs)."""
    jitter: float = 0.4
    """Strength of the student's own brightness, contrast and saturation jitter; the teacher never sees it."""
    seed: int = 0
    """Fixes which views there are. Apart from the job's seed, so that jobs share the teacher's cached answers."""


class JobSpec(Model):
    """The body of `POST /v1/jobs`: a training spec, the data it runs on, and how it is queued."""

    teacher: str | None = None
    """A frozen teacher from `GET /v1/teachers`. Needed by every method but `scratch`."""
    teachers: list[str] | None = None
    """Several frozen teachers, instead of `teacher`. Each is reprogrammed alone, and all together into one proxy
    space; the validation images choose how much each of these says, so one that knows nothing of the task does no
    harm."""
    student: str | None = None
    """The architecture to train, from `GET /v1/students`."""
    students: list[str] | None = None
    """Several architectures in one job, instead of `student`: the teacher is asked and reprogrammed once for all."""
    pretrained: Literal["auto"] | bool = "auto"
    """Whether a student starts from its own pretrained weights. `auto`: where the worker has some or can download
    them; the manifest says what was taken. `true`: they must be there. `finetune` always does, `scratch` only if
    `true`."""
    image_size: int = 160
    """Side in pixels of the student's square input."""
    method: str = "tdmr"
    """How the student learns. All methods run in the same loop with the same budget and the same views."""
    balance: Literal["none", "sampling", "loss"] | str = "none"
    """What to do about rare classes. `sampling` shows labelled images of all classes equally often; `loss` weighs the
    cross-entropy by the inverse of the class's frequency, mean 1; `none` takes the data as it is."""
    views: ViewConfigOutput = Field(default_factory=ViewConfigOutput)
    """How images are cut."""
    reprogram: ReprogramConfigOutput = Field(default_factory=ReprogramConfigOutput)
    """Stage 1: the teacher's proxy space."""
    distill: DistillConfigOutput = Field(default_factory=DistillConfigOutput)
    """Stage 2: the student learns."""
    export: ExportConfigOutput = Field(default_factory=ExportConfigOutput)
    """The formats of the student."""
    constraints: ConstraintsOutput | None = None
    """What the device and the task demand. The most accurate file that fits is chosen; if none fits, the job says
    which comes closest and by how much it misses, and succeeds all the same. `{}` asks for the most accurate file."""
    seed: int = 0
    """Fixes initial weights, batch order and jitter: on one CPU the same seed gives the same student, where the way of
    computing is remembered in the worker's cache or fixed by TDMR_PRECISION."""
    dataset_id: str
    """A data set that is `ready`."""
    priority: int = 0
    """Higher runs earlier among queued jobs."""
    metadata: dict[str, str] = Field(default_factory=dict)
    """Labels of your own: at most 16 pairs of text. `GET /v1/jobs?metadata[key]=value` filters by them."""


TrackingState: TypeAlias = Literal["pending", "succeeded", "failed", "skipped"] | str
"""`pending` until the job has ended and has been logged. `failed`: it was tried for 17 hours. `skipped`: it ended
before it had started, so there is nothing to log."""


class MLflowTracking(Model):
    """The job's run on the MLflow server of this service."""

    state: TrackingState
    """`pending` until the job has ended and has been logged. `failed`: it was tried in vain for 17 hours. `skipped`:
    the job ended before it had started, so there is nothing to log."""
    experiment: str
    """The experiment that the run belongs to."""
    url: str | None = None
    """The run's page; null until it has been logged."""
    error: str | None = None
    """Why the last attempt failed; there is another one while it is `pending`."""


class JobTracking(Model):
    """Where a job is logged when it ends, and what became of that."""

    mlflow: MLflowTracking
    """On the MLflow server of this service."""


class QueuePosition(Model):
    """The position of a queued job."""

    position: int
    """1 runs next. Jobs are ordered by priority, then round-robin between tenants, then by age."""
    reason: str
    """What the job waits for."""


class Reproduction(Model):
    """Of a job that `POST /v1/jobs/{id}/rerun` made, beside the job that it repeats."""

    tensors_equal: bool | None = None
    """Whether every weight of every student is the same, bit by bit: to be expected on the same kind of machine, with
    the same versions and number of threads. None where the repeated job's files are gone."""
    accuracy_difference: float | None = None
    """Top-1 on the evaluated images, this job minus the repeated one; of several students the largest. None where the
    repeated job did not come so far."""


class Job(Model):
    """A training job and its progress."""

    id: str
    """Its id."""
    object: Literal["job"] = "job"
    state: JobState
    """`succeeded`, `failed` and `cancelled` are final."""
    stage: Stage | None = None
    """The current stage of a running job, or the last one of an ended job."""
    progress: float
    """Progress of the whole job, 0 to 1, by time: never decreases, and 1 only once it has succeeded."""
    eta_seconds: float | None = None
    """Estimated remaining seconds, at the pace of this run; falls with the clock. Null while that is unknown: until
    the job runs and has seen its data, or where it is overdue and its worker says nothing. 0 once it has ended. Its
    falling alone does not change the ETag."""
    estimated_start: datetime | None = None
    """When a worker will probably take a queued job: from the remaining time of running jobs and the estimates of
    those ahead. Null while that is unknown, as when no worker gives signs of life. It moves with other jobs and
    does not change the ETag."""
    estimated_end: datetime | None = None
    """The same as a moment: when a running job will have ended. Changes only when the job has something to tell, so
    count down to it between two answers."""
    estimated_seconds: float | None = None
    """How long the job was expected to run when it was created; null where no worker had measured enough. `POST
    /v1/jobs/estimate` says more."""
    queue: QueuePosition | None = None
    """Null unless the job is queued."""
    dataset_id: str
    """The data set that it trains on."""
    spec: JobSpec | dict[str, Any]
    """The job as submitted, with defaults filled in; fields may differ if another version accepted it."""
    warnings: list[str]
    """What to look at: noticed when the job was accepted and while it ran."""
    metrics: dict[str, float]
    """The latest value of each metric: of stage 1 until stage 2 begins, then of stage 2 and of the final evaluation.
    With `students`, a student's own start with `<student>/`."""
    choice: Choice | dict[str, Any] | None = None
    """With `constraints`, once the job has succeeded: the file that meets them, or the closest one and by how much it
    misses. Its fields may differ if another version ran the job."""
    error: Failure | None = None
    """Why the job failed."""
    attempts: int
    """Attempts by workers since the job last made progress."""
    cancel_requested: bool
    """Its worker has been asked to cancel it."""
    pause_requested: bool
    """Its worker has been asked to write a checkpoint and pause it."""
    retry_of: str | None = None
    """The job that this one retries."""
    rerun_of: str | None = None
    """The job that this one repeats from the start."""
    reproduces: Reproduction | None = None
    """Of a rerun that has succeeded: how like the repeated job's its result is."""
    metadata: dict[str, str]
    """Your labels, as you sent them."""
    webhook_url: str | None = None
    """Told of each change of its state."""
    tracking: JobTracking | None = None
    """Where the job is logged when it ends, and what became of that; null without `track`."""
    created_at: datetime
    """When it was created."""
    updated_at: datetime
    """When anything of it last changed."""
    started_at: datetime | None = None
    """When a worker first began with it."""
    finished_at: datetime | None = None
    """When it ended."""
    files_deleted_at: datetime | None = None
    """When the job's files were deleted because of their age; its evaluation and curves are kept."""


class JobCancel(Model):
    """How to cancel a job."""

    keep_preview: bool = False
    """Keep the previews that there are, as the job's files. Ask for `student.preview.onnx` before; what was not asked
    for is kept as `student.preview.safetensors` alone."""


class SpecDifference(Model):
    """An option in which the jobs differ."""

    path: str
    """Its dotted name: `distill.temperature`."""
    values: dict[str, Any]
    """By job id; null where the job's spec has no such option."""


class StudentDifference(Model):
    """Two students on the very same images. Only those count on which one alone is right."""

    first: Compared
    """The student that is compared."""
    second: Compared
    """The one that it is compared with."""
    images: int | None = None
    """On which both were judged."""
    difference: float | None = None
    """Top-1 of `second` minus top-1 of `first`; null where `reason` says why."""
    interval: tuple[float, float] | None = None
    """Newcombe's 95 % score interval for paired proportions. If it contains 0, these images do not show which is
    better. It does not cover the training seed."""
    only_first: int | None = None
    """Images on which `first` alone is right."""
    only_second: int | None = None
    """Images on which `second` alone is right."""
    p_value: float | None = None
    """McNemar's exact test, two-sided."""
    reason: str | None = None
    """Why there is no difference to tell: other images, other labels, or no answers for each image."""


class JobComparison(Model):
    """Jobs side by side, in the order in which they were named."""

    object: Literal["job_comparison"] = "job_comparison"
    """Always `job_comparison`."""
    jobs: list[ComparedJob]
    """In the order in which they were named."""
    spec_differences: list[SpecDifference]
    """Only the options in which they differ, by name."""
    differences: list[StudentDifference]
    """Each pair of students, within and between jobs; with more than ten students, the first one with each other."""


class ReprogramConfig(Model):
    """Stage 1: from the frozen teacher's taps into the proxy space. It trains on cached taps, so it takes seconds."""

    taps: Literal["multi", "last"] | str = "multi"
    """`multi` reads four depths and the pre-logits vector (+2.5 to +4 points for the teacher); `last` only that."""
    width: int | None = None
    """D, the proxy width. None: 128 below 50 classes, else 256."""
    image_size: int | None = None
    """Side in pixels at which the teacher sees its views. None: the size it was pretrained at."""
    self_training: int = 2
    """Rounds of self-training after the first: each starts anew from the labels and from what the round before made of
    the unlabelled images, averaged over their views. On 10 classes of photographs with 20 labels each two rounds
    made 71 % into 73 %. Without unlabelled images there is nothing to guess."""
    steps: int = 500
    """Optimiser steps of a round, and of the probe. With 20 labels per class 1,000 steps were worse than 500."""
    batch_size: int = 128
    """Labelled images per step, and as many unlabelled ones beside them; clamped to the views that there are, and the
    event log says so."""
    learning_rate: float = 0.003
    """AdamW's peak learning rate."""
    weight_decay: float = 0.05
    """AdamW's weight decay."""
    dropout: float = 0.5
    """Dropout on the normalised taps in front of each adapter. With 20 labels per class 0.5 was 2 points over 0.1."""
    label_smoothing: float = 0.1
    """ε of the smoothed cross-entropy."""
    view_weight: float = 0.5
    """λ_v: how strongly a view and its shifted view must agree, in z (cosine) and in class (symmetric KL)."""
    moment_weight: float = 1.0
    """λ_m: how strongly mean and covariance of z must agree between the views and their shifted views."""
    input_reprogramming: bool = False
    """First learn what every image goes through before the teacher sees it, x' = γ⊙x + β + upsample(δ). For domains
    far from photographs; it needs gradients through the teacher, so it takes much longer than the rest of the
    stage."""
    input_steps: int = 200
    """Optimiser steps of input reprogramming, of 64 images each."""
    input_learning_rate: float = 0.01
    """AdamW's peak learning rate there: γ goes from 1 to −1, an inverted contrast, in some 200 steps of 1e-2."""


class MLflowTrack(Model):
    """A run on the tracking server of this service."""

    experiment: str = "tdmr"
    """The experiment that the run belongs to; it is made where it is not there."""


class Track(Model):
    """Where the job is logged when it ends, by kind of tracker."""

    mlflow: MLflowTrack
    """MLflow: the spec as parameters, curves and results as metrics, the job's id, labels and data set as tags, the
    model's files. `{}` for the experiment `tdmr`."""


class ViewConfig(Model):
    """How an image is cut. Teacher and student always see the same crop and flip (arXiv 2106.05237)."""

    mode: Literal["auto", "live", "cached"] | str = "auto"
    """`live` runs the teacher on each step's own views; `cached` runs it once over `count` views per image and reuses
    the answers. `auto`: live on a GPU, cached on a CPU."""
    count: int = 4
    """K, the cached views per image. 8 and 16 were no better than 4, nor 16 than 8 on two data sets with three seeds
    each, nor 64 for 200 images alone; asking the teacher takes time in proportion."""
    min_scale: float = 0.35
    """Smallest crop as a fraction of the image's area."""
    hflip: bool = True
    """Mirror half of the views. Turn it off where left and right mean something (digits, text, traffic signs)."""
    jitter: float = 0.4
    """Strength of the student's own brightness, contrast and saturation jitter; the teacher never sees it."""
    seed: int = 0
    """Fixes which views there are. Apart from the job's seed, so that jobs share the teacher's cached answers."""


class JobCreate(Model):
    """A new job: its spec, who is told of it and where it is logged. These two are no part of the spec, which says
    what the job computes."""

    dataset_id: str
    """A data set that is `ready`."""
    teacher: str | None = None
    """A frozen teacher from `GET /v1/teachers`. Needed by every method but `scratch`."""
    teachers: list[str] | None = None
    """Several frozen teachers, instead of `teacher`. Each is reprogrammed alone, and all together into one proxy
    space; the validation images choose how much each of these says, so one that knows nothing of the task does no
    harm."""
    student: str | None = None
    """The architecture to train, from `GET /v1/students`."""
    students: list[str] | None = None
    """Several architectures in one job, instead of `student`: the teacher is asked and reprogrammed once for all."""
    pretrained: Literal["auto"] | bool = "auto"
    """Whether a student starts from its own pretrained weights. `auto`: where the worker has some or can download
    them; the manifest says what was taken. `true`: they must be there. `finetune` always does, `scratch` only if
    `true`."""
    image_size: int = 160
    """Side in pixels of the student's square input."""
    method: str = "tdmr"
    """How the student learns. All methods run in the same loop with the same budget and the same views."""
    balance: Literal["none", "sampling", "loss"] | str = "none"
    """What to do about rare classes. `sampling` shows labelled images of all classes equally often; `loss` weighs the
    cross-entropy by the inverse of the class's frequency, mean 1; `none` takes the data as it is."""
    views: ViewConfig = Field(default_factory=ViewConfig)
    """How images are cut."""
    reprogram: ReprogramConfig = Field(default_factory=ReprogramConfig)
    """Stage 1: the teacher's proxy space."""
    distill: DistillConfig = Field(default_factory=DistillConfig)
    """Stage 2: the student learns."""
    export: ExportConfig = Field(default_factory=ExportConfig)
    """The formats of the student."""
    constraints: Constraints | None = None
    """What the device and the task demand. The most accurate file that fits is chosen; if none fits, the job says
    which comes closest and by how much it misses, and succeeds all the same. `{}` asks for the most accurate file."""
    seed: int = 0
    """Fixes initial weights, batch order and jitter: on one CPU the same seed gives the same student, where the way of
    computing is remembered in the worker's cache or fixed by TDMR_PRECISION."""
    priority: int = 0
    """Higher runs earlier among queued jobs."""
    metadata: dict[str, str] = Field(default_factory=dict)
    """Labels of your own: at most 16 pairs of text. `GET /v1/jobs?metadata[key]=value` filters by them."""
    webhook_url: str | None = None
    """Each change of the job's state is sent here, signed with the secret of the webhook `default` (`POST
    /v1/webhooks/default/rotate-secret` shows one)."""
    track: Track | None = None
    """Have the service log the job when it ends, on the operator's tracking server. 422 `tracking_not_configured`
    where there is none."""


class JobEvent(Model):
    """An event in the life of a job."""

    seq: int
    """Counts 1, 2, 3 … within the job; pass the last one as `after`."""
    kind: str
    """`state`, `stage`, `info` or `warning`."""
    code: str
    """What happened, for programs."""
    message: str
    """What happened, for people."""
    data: dict[str, Any]
    """Particulars, by the event's code."""
    created_at: datetime
    """When it happened."""


class JobNews(Model):
    """A job as it was at the time of the event."""

    id: str
    """`GET /v1/jobs/{id}` has the whole job as it is now."""
    object: Literal["job"] = "job"
    state: str
    """The state that it has entered."""
    reason: str
    """The event's `code`, as `GET /v1/jobs/{id}/events` has it."""
    seq: int
    """Number of the event within the job: of two that arrive, the higher one is newer."""
    dataset_id: str
    """The data set that it runs on."""
    progress: float
    """Progress of the whole job, 0 to 1."""
    error: dict[str, Any] | None = None
    """Of a failed job: `code`, `title`, `detail`, `hint`."""
    metadata: dict[str, str]
    """Your own labels, as they came with the job."""


class Preprocessing(Model):
    """What must be done to an image before the student sees it, in this order."""

    resize_short_side: int
    """Pixels; aspect ratio kept; Pillow's `interpolation` with antialiasing."""
    center_crop: int
    """Side in pixels of the square."""
    interpolation: str
    """Pillow's filter: `bilinear` or `bicubic`."""
    scale: float = 0.00392156862745098
    """Multiplies the 0..255 RGB values."""
    mean: tuple[float, float, float]
    """Subtracted from each channel, after `scale`."""
    std: tuple[float, float, float]
    """Divides each channel, after `mean`."""
    layout: str = "NCHW, RGB, float32"
    """Of the array that the student takes."""


class PreviewMark(Model):
    """What a preview is: never the finished student."""

    student: str
    """As the spec calls it."""
    step: int
    """Steps that it had trained."""
    steps: int
    """Steps that it will have trained in the end."""
    val_accuracy: float | None = None
    """On the validation images, at this step; null if the data set has none."""
    teacher_agreement: float | None = None
    """Without validation images: the part of images on which it answers as its teacher does."""


class Prediction(Model):
    """A student's prediction for one image."""

    object: Literal["prediction"] = "prediction"
    job_id: str
    """The job that trained it."""
    student: str
    """The student that was asked."""
    file: str
    """The artefact used."""
    predictions: list[ClassProbability]
    """Most probable first."""
    preprocessing: Preprocessing
    """Preprocessing applied to the image, from the manifest."""
    preview: PreviewMark | None = None
    """With `preview=true`: which student of the moment this was; null for a finished one."""
    latency_ms: float
    """Time of the network alone on one thread, without loading and decoding."""


class StreamTicket(Model):
    """Permission to follow one job, instead of a key."""

    object: Literal["stream_ticket"] = "stream_ticket"
    ticket: str
    """Pass it as `?ticket=` to the job's `events`."""
    expires_at: datetime
    """Connect before this time."""


class Student(Model):
    """An architecture that a worker can train, and what a sweep over all architectures found that it cannot do.

    A job that asks for what is refused here is refused when it is created. What no sweep has tried is not refused.
    """

    name: str
    """timm's name of the architecture."""
    family: str
    """timm's module, for example `mobilenetv3`."""
    parameters: int
    """Without the classifier."""
    multiply_adds: int | None = None
    """Of one image of `input_size`; None where nobody has counted them."""
    input_size: int | None = None
    """Side in pixels that its family's weights are made for."""
    refused: str | None = None
    """Why it cannot be trained."""
    refused_formats: dict[str, str] = Field(default_factory=dict)
    """Export formats in which it cannot be written, each with the reason."""
    refused_sizes: list[int] = Field(default_factory=list)
    """Sides in pixels that it does not take."""
    takes_size: int | None = None
    """A side in pixels that it does take; given where some are refused."""


Subscription: TypeAlias = (
    Literal[
        "job.*",
        "dataset.*",
        "job.queued",
        "job.running",
        "job.paused",
        "job.succeeded",
        "job.failed",
        "job.cancelled",
        "dataset.ready",
        "dataset.needs_answer",
        "dataset.rejected",
    ]
    | str
)
"""A type of event, or all of a kind."""


class Teacher(Model):
    """A frozen network with pretrained weights that a worker can load."""

    name: str
    """`architecture.tag`, as timm names pretrained weights."""
    architecture: str
    """The part of the name before the dot."""
    family: str
    """timm's module, for example `vision_transformer`."""
    parameters: int | None = None
    """Without the classifier; None until a worker has built it once."""
    input_size: int
    """Side in pixels it was pretrained at."""
    trained_on: str = ""
    """The data it was pretrained on; empty where that is unknown."""
    licence: str = ""
    """Of the weights, as their publisher states it; empty where that is unknown."""
    source: str = "timm"
    """`timm` (loaded from its hub) or `local` (a folder of weights on the worker)."""
    refused: str | None = None
    """Why it cannot teach, as a sweep over all architectures found; a job that names it is refused."""


class Webhook(Model):
    """A webhook without its secret."""

    id: str
    """Its id."""
    object: Literal["webhook"] = "webhook"
    """The kind of this object."""
    url: str | None = None
    """Where events are sent. Null for `default`, which stands for the `webhook_url` of jobs."""
    description: str
    """What it is for."""
    event_types: list[str]
    """The types of events that are sent; `job.*` and `dataset.*` stand for all of a kind."""
    enabled: bool
    """Whether events are sent to it."""
    disabled_reason: str | None = None
    """Why the service has disabled it; null if it has not."""
    failing_since: datetime | None = None
    """The first failed attempt since one succeeded. After five days it is disabled."""
    old_secret_until: datetime | None = None
    """After a rotation: until then, deliveries are signed with the old secret too."""
    created_at: datetime
    """When it was created."""
    updated_at: datetime
    """When it was last changed."""


class WebhookCreate(Model):
    """A new webhook."""

    url: str
    """Where events are sent with POST. Only a public address, unless the operator allows another."""
    description: str = ""
    """What it is for."""
    event_types: list[Subscription] = Field(default_factory=lambda: ["job.*", "dataset.*"])
    """The types of events that are sent; `job.*` and `dataset.*` stand for all of a kind."""
    enabled: bool = True
    """Whether events are sent to it."""


class WebhookNews(Model):
    """The webhook that was tested."""

    id: str
    """Id of the webhook."""
    object: Literal["webhook"] = "webhook"


class WebhookEvent(Model):
    """The body of a delivery."""

    id: str
    """The event, for all its receivers and attempts; also the header `webhook-id`."""
    object: Literal["event"] = "event"
    type: EventType
    """What it tells."""
    timestamp: datetime
    """When it happened."""
    data: JobNews | DatasetNews | WebhookNews
    """What it happened to."""


class WebhookSecret(Model):
    """A webhook with its secret. Only this answer contains it."""

    id: str
    """Its id."""
    object: Literal["webhook"] = "webhook"
    """The kind of this object."""
    url: str | None = None
    """Where events are sent. Null for `default`, which stands for the `webhook_url` of jobs."""
    description: str
    """What it is for."""
    event_types: list[str]
    """The types of events that are sent; `job.*` and `dataset.*` stand for all of a kind."""
    enabled: bool
    """Whether events are sent to it."""
    disabled_reason: str | None = None
    """Why the service has disabled it; null if it has not."""
    failing_since: datetime | None = None
    """The first failed attempt since one succeeded. After five days it is disabled."""
    old_secret_until: datetime | None = None
    """After a rotation: until then, deliveries are signed with the old secret too."""
    created_at: datetime
    """When it was created."""
    updated_at: datetime
    """When it was last changed."""
    secret: str
    """Verify deliveries with it: any library for Standard Webhooks takes it as it is."""


class WebhookUpdate(Model):
    """What to change of a webhook; what is left out or null stays as it is."""

    url: str | None = None
    """Where events are sent with POST. Only a public address, unless the operator allows another. Deliveries that wait
    go there too."""
    description: str | None = None
    """What it is for."""
    event_types: list[Subscription] | None = None
    """The types of events that are sent; `job.*` and `dataset.*` stand for all of a kind."""
    enabled: bool | None = None
    """True takes up a webhook again that the service or its owner has disabled."""
