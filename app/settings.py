"""Every setting of the service. Each is an environment variable `TDMR_…`; nothing else configures it.

The defaults are the embedded mode: one folder, SQLite, a broker on the file system, loopback only, no key.
Production differs in the URLs and nothing else.
"""

from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from pydantic import AliasChoices, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.domain.access import Quotas
from app.domain.addresses import Destinations
from app.domain.sources import Buckets, is_s3
from app.domain.tracking import TrackingServer, TrackingUri
from app.domain.urls import PublicUrl

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
KEYED_REQUESTS_PER_MINUTE = 600
"""A script that polls fifty jobs every ten seconds stays below it."""
MOST_DAYS = 36_500
"""A century."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="TDMR_",
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,  # a traceback would show passwords
    )

    home: Path = Path(".tdmr")
    """Folder of everything the embedded service keeps: store, broker, blobs, scratch."""
    database_url: str = ""
    """SQLAlchemy URL of the job store. Empty: SQLite in `home`. Production: `postgresql+psycopg://…`."""
    broker_url: str = ""
    """Celery broker. Empty: kombu's filesystem transport in `home`. Production: `redis://…`."""
    storage_url: str = ""
    """fsspec URL of the folder for data sets and artefacts. Empty: a folder in `home`. Production: a volume or `s3://…`."""
    models_dir: Path | None = None
    """A folder of teachers (safetensors with a JSON card each) that workers offer beside timm's own; serves offline."""
    hub: bool = True
    """Offer timm's pretrained teachers, downloaded at first use. Turn it off on a machine without a network."""

    host: str = "127.0.0.1"
    """Address to listen on. Anything but loopback needs `api_key`."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    api_key: SecretStr | None = None
    """The operator's first key: all scopes, and keys for every tenant can be made with it. None: no key is asked for,
    allowed on loopback only."""
    allowed_hosts: str = ""
    """Names by which browsers may reach the service, with commas between them, besides localhost, 127.0.0.1, [::1] and
    `host`; pages of these names may also change something. Where neither this nor `api_key` is set, the four are all
    names there are; with `api_key` alone any name will do."""

    session_hours: float = Field(default=12, gt=0)
    """A browser that signed in with an API key has to do so again after this long."""
    rate_limit: int | None = Field(default=None, ge=0)
    """Requests a minute of one key (one address where no key is sent). None: 600 where keys are asked for, else no
    limit; 0: no limit. Counted in the broker where that is Redis, else by this process."""
    max_streams: int = Field(default=50, ge=0)
    """Most live streams that one key has open at a time; where no key is asked for, that all clients have."""
    tenant_max_bytes: int | None = Field(default=None, ge=0)
    """Most bytes of a tenant's data sets, as uploaded. None: no limit. `tdmr tenants set` says otherwise for one."""
    tenant_max_queued: int | None = Field(default=None, ge=0, le=1_000_000)
    """Most jobs of a tenant that wait for a worker. None: no limit."""
    tenant_max_running: int | None = Field(default=None, ge=1, le=1_000_000)
    """Most jobs of a tenant that run at a time; further ones wait. None: no limit."""
    tenant_max_downloads: int = Field(default=1, ge=0, le=1_000_000)
    """Most archives of a tenant that are fetched from their addresses at a time; further ones wait, and so hold no
    import worker that others could have. 0: no limit. One, because a slow server may take `fetch_minutes` for each,
    and of two import workers one is then left for other tenants and for archives that were uploaded."""

    outbound_allow: str = ""
    """Hosts, addresses and networks, with commas between them, that webhooks may be sent to and archives fetched from
    though they are not public: `127.0.0.1, 10.1.0.0/16, hooks.internal`. Link-local, multicast and metadata addresses
    never may."""
    source_buckets: str = ""
    """Buckets, and prefixes in buckets, with commas between them, that every tenant's data sets may be fetched from
    with the credentials of the import worker: `photos, shared/datasets/`. Empty: none."""
    max_webhooks: int = Field(default=20, ge=0, le=1000)
    """Most webhooks of a tenant. Each costs a row in the outbox for each event that it is subscribed to."""
    keep_delivery_days: float = Field(default=30, gt=0)
    """What was sent to webhooks, and what they answered, can be seen this long."""

    mlflow_uri: TrackingUri | None = None
    """Address of the MLflow server on which jobs with `track` are logged when they end, as the import workers reach it:
    `https://mlflow.example.com`, with a user name and a password in it if it asks for them; what is shown leaves them
    out. None: such jobs are refused. Import workers need the extra `mlflow`."""
    public_url: PublicUrl | None = None
    """Address under which people reach the service, for links to jobs from elsewhere, as from MLflow. None: none."""

    max_upload_bytes: int = Field(default=20 * 2**30, gt=0)
    """Largest archive accepted, in bytes."""
    keep_upload_hours: float = Field(default=24, gt=0)
    """A resumable upload that receives no data for this long is deleted."""
    keep_unanswered_hours: float = Field(default=168, gt=0)
    """A data set that waits for its owner to choose a reading of the archive is rejected after this long, and its
    archive deleted."""
    upload_idle_seconds: float = Field(default=30, gt=0)
    """A request whose body brings less than `upload_min_bytes_per_second` over this long ends with 408."""
    upload_min_bytes_per_second: float = Field(default=256, gt=0)
    """Least rate of a body that is waited for. Only time spent waiting for the client counts."""
    fetch_minutes: float = Field(default=120, gt=0)
    """Longest download of an archive from its address, by one worker; a longer one is ended and the data set
    rejected."""
    fetch_idle_seconds: float = Field(default=30, gt=0)
    """A server that sends nothing for this long is asked again for the rest; one that sends less than
    `fetch_min_bytes_per_second` over it has its data set rejected. The import worker does nothing else meanwhile."""
    fetch_min_bytes_per_second: float = Field(default=16_384, gt=0)
    """Least rate of a download."""
    fetch_images: bool = False
    """Take a table of images' addresses for a data set, and fetch the images, under the same rules as an archive's
    address. Off, because one request then makes this service send thousands, to servers that a stranger has chosen."""
    max_unpacked_bytes: int = Field(default=100 * 2**30, gt=0)
    """Largest sum of an archive's unpacked members, in bytes."""
    max_images: int = Field(default=1_000_000, gt=0)
    """Largest number of members in an archive, and of lines in a file of labels."""
    max_classes: int = Field(default=10_000, ge=2)
    """Most classes of a data set; one that has more is rejected. Each costs a row in the store, and a student's last
    layer, its evaluation and its model card grow with them."""
    max_image_pixels: int = Field(default=64_000_000, gt=0)
    """Largest single image, in pixels; larger ones are skipped and reported."""

    max_predict_bytes: int = Field(default=32 * 2**20, gt=0)
    """Largest image that `POST /v1/jobs/{id}/predict` takes, in bytes; in pixels `max_image_pixels` bounds it."""
    predict_at_once: int = Field(default=2, ge=1, le=64)
    """Predictions that one API process computes at a time, each on one thread, its image decoded in a process of its
    own; up to eight times as many wait for their turn, further ones are answered 503."""
    predict_cache_gb: float = Field(default=0.5, ge=0)
    """Students kept loaded by one API process, by the bytes of their ONNX files, in 10⁹; what was not used for longest
    goes first. One takes about three times its file in memory: 126 MB for 42 MB. 0: each is loaded for each image."""

    max_connections: int = Field(default=1000, ge=10, le=100_000)
    """Connections that one API process keeps open. Beyond it the one that has waited longest for its client, for a
    second at least, is closed in favour of the new one; if there is none, the new one is answered 503. Lowered to what
    the limit of open files leaves room for."""
    max_connections_per_address: int = Field(default=250, ge=1, le=100_000)
    """Of these, connections of one address (of one /64 network for IPv6). Not counted for the proxies in
    FORWARDED_ALLOW_IPS. A browser opens six."""
    request_hours: float = Field(default=12, gt=0)
    """Longest life of a request, from its head to the last byte of the answer; then its connection is closed. The
    largest archive arrives in it at 4 Mbit/s; slower ones are resumable uploads."""
    request_seconds: float = Field(default=10, gt=0)
    """A request to which no answer has begun for this long, while no file is sent with it, is answered 503."""
    heartbeat_seconds: float = Field(default=10, gt=0)
    """A supervisor tells the store this often that its job is alive, and learns whether it was cancelled. A worker
    gives a sign of life, and sees whether it is deaf, as often."""
    fence_seconds: float = Field(default=45, gt=0)
    """A supervisor whose heartbeat did not get through for this long kills its child: someone else may own the job."""
    lease_seconds: float = Field(default=60, gt=0)
    """A job whose heartbeat counter did not move for this long counts as lost; `tdmr check` says so of a worker. One
    that is idle and takes no message for this long, while some wait, exits."""
    cancel_poll_seconds: float = Field(default=1, gt=0)
    """A supervisor asks this often whether its job was cancelled."""
    stop_grace_seconds: float = Field(default=5, gt=0)
    """A child told to stop has this long before it is killed."""
    reconcile_seconds: float = Field(
        default=5, gt=0, validation_alias=AliasChoices("TDMR_RECONCILE_SECONDS", "TDMR_CARETAKER_SECONDS")
    )
    """Each worker looks this often for claims whose holder is lost and for what waits without a message. Its former
    name, TDMR_CARETAKER_SECONDS, is still read."""
    checkpoint_seconds: float = Field(default=300, gt=0)
    """A running job's checkpoint is copied to the storage this often: a host that is lost for good costs no more."""
    keep_checkpoint_days: float = Field(default=7, ge=0)
    """A failed job's checkpoint is kept this long, for a retry to go on from."""
    keep_job_days: float = Field(default=0, ge=0, le=MOST_DAYS)
    """A job that ended this long ago is deleted, with its events, curves, files and checkpoint. 0: kept for good."""
    keep_file_days: float = Field(default=0, ge=0, le=MOST_DAYS)
    """The files of a job that ended this long ago are deleted; the job itself, its evaluation and its curves stay. 0:
    kept for good."""
    keep_event_days: float = Field(default=0, ge=0, le=MOST_DAYS)
    """The events of a job that ended this long ago are deleted. 0: kept for good."""
    keep_curve_days: float = Field(default=0, ge=0, le=MOST_DAYS)
    """The training curves of a job that ended this long ago are deleted. 0: kept for good."""
    keep_audit_days: float = Field(default=0, ge=0, le=MOST_DAYS)
    """Lines of the audit trail are deleted at this age. 0: kept for good."""
    child_memory_gb: float | None = Field(default=None, gt=0)
    """Most memory of a training or import process, in 10⁹ bytes without mapped files; one that needs more is ended and
    its job fails as `out_of_memory`. None: what the machine has."""
    job_hours: float | None = Field(default=None, gt=0)
    """Longest attempt of a job; a longer one is ended and fails as `time_limit_exceeded`. None: no limit."""
    import_minutes: float = Field(default=120, gt=0)
    """Longest check of an uploaded archive; a longer one is ended and the data set rejected."""
    cache_dir: Path | None = None
    """Where a host's training jobs share decoded images and a teacher's answers. None: in `home`."""
    cache_gb: float = Field(default=20, gt=0)
    """The shared cache's bound in 10⁹ bytes; what was not used for longest goes first. A job may exceed it alone."""
    confine: bool = True
    """Processes that read uploaded files have no network and see nothing of other processes, as far as the kernel can
    do that. Turn it off where a driver turns out to need a socket in the training process."""
    device: str = "auto"
    """Where a training worker trains: `auto`, `cpu`, `cuda`, `cuda:1`."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """How teachers and, on a GPU, students compute. `auto`: what was found fastest on this machine, Muon too."""
    threads: int | None = Field(default=None, ge=1)
    """Threads of arithmetic of a training process on the CPU. None: as many as the worker may use cores, by its
    affinity and its container's quota, or OMP_NUM_THREADS. With several training workers on a host set it to the cores
    by the workers."""
    measure: bool = True
    """A training worker that is idle measures once how fast its kind of machine is, for estimates before a run."""
    max_job_hours: float | None = Field(default=None, gt=0)
    """A job that would take longer even by the low end of its estimate is refused when it is created. None: it is
    accepted with a warning. What was not measured is never refused."""
    log_level: str = "info"
    """Least severe message that is logged."""

    @model_validator(mode="after")
    def _heartbeat_before_fence_before_lease(self) -> Self:
        if not self.heartbeat_seconds < self.fence_seconds < self.lease_seconds:
            raise ValueError("TDMR_HEARTBEAT_SECONDS < TDMR_FENCE_SECONDS < TDMR_LEASE_SECONDS must hold")
        return self

    @model_validator(mode="after")
    def _known_destinations(self) -> Self:
        try:
            Destinations.parse(self.outbound_allow)
        except ValueError as error:
            raise ValueError(f"TDMR_OUTBOUND_ALLOW: {error}") from error
        try:
            buckets = Buckets.parse(self.source_buckets)
        except ValueError as error:
            raise ValueError(f"TDMR_SOURCE_BUCKETS: {error}") from error
        if is_s3(self.storage_url) and buckets.overlap(self.storage_url):
            raise ValueError("TDMR_SOURCE_BUCKETS must not open TDMR_STORAGE_URL, which holds every tenant's files")
        return self

    @cached_property
    def root(self) -> Path:
        """`home`, absolute."""
        return self.home.expanduser().resolve()

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.root / 'tdmr.db'}"

    @property
    def broker(self) -> str:
        return self.broker_url or "filesystem://localhost"  # kombu warns where no host is named

    @property
    def broker_folder(self) -> Path:
        """Where the filesystem transport keeps its messages; unused with Redis."""
        return self.root / "broker"

    @property
    def storage(self) -> str:
        return self.storage_url or (self.root / "blobs").as_uri()

    @property
    def scratch(self) -> Path:
        """Local folder for uploads under way and running jobs."""
        return self.root / "scratch"

    @property
    def partial_uploads(self) -> Path:
        """Local folder of uploads under way; what has arrived survives a restart."""
        return self.scratch / "uploads"

    @property
    def cache(self) -> Path:
        """Local folder that training jobs of this host share."""
        return self.cache_dir.expanduser().resolve() if self.cache_dir is not None else self.scratch / "cache"

    @cached_property
    def named_hosts(self) -> frozenset[str]:
        """Those of `allowed_hosts`."""
        return frozenset(name.strip().lower().strip("[]") for name in self.allowed_hosts.split(",") if name.strip())

    @cached_property
    def hosts(self) -> frozenset[str]:
        """Names that a request's `Host` may have; empty where any will do."""
        if self.api_key is not None and not self.named_hosts:
            return frozenset()
        return self.named_hosts | LOOPBACK | {self.host.lower()}

    @property
    def destinations(self) -> Destinations:
        """What the service may connect to where a user names it."""
        return Destinations.parse(self.outbound_allow)

    @property
    def buckets(self) -> Buckets:
        """What may be fetched with our own credentials."""
        return Buckets.parse(self.source_buckets)

    @property
    def tracking_server(self) -> TrackingServer | None:
        """Where jobs are logged; None: nowhere."""
        return None if self.mlflow_uri is None else TrackingServer.parse(self.mlflow_uri.get_secret_value())

    @property
    def requests_per_minute(self) -> int:
        """Of one key or address; 0: no limit."""
        if self.rate_limit is None:
            return 0 if self.api_key is None else KEYED_REQUESTS_PER_MINUTE
        return self.rate_limit

    @property
    def quotas(self) -> Quotas:
        """Of a tenant that has none of its own."""
        return Quotas(self.tenant_max_bytes, self.tenant_max_queued, self.tenant_max_running, self.max_job_hours)

    def check_exposed(self) -> None:
        """Refuse to listen beyond loopback without a key.

        Raises:
            ValueError: with what to do.
        """
        if self.host not in LOOPBACK and self.api_key is None:
            raise ValueError(
                f"Listening on {self.host} would let anyone on the network in. "
                "Set TDMR_API_KEY, or TDMR_HOST=127.0.0.1."
            )
