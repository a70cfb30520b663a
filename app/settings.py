"""Every setting of the service. Each is an environment variable `TDMR_…`; nothing else configures it.

The defaults are the embedded mode: one folder, SQLite, a broker on the file system, loopback only, no key.
Production differs in the URLs and nothing else.
"""

from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TDMR_", extra="ignore", frozen=True)

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
    """Bearer key that every /v1 request must carry. None: no key asked, allowed on loopback only."""

    max_upload_bytes: int = Field(default=20 * 2**30, gt=0)
    """Largest archive accepted, in bytes."""
    max_unpacked_bytes: int = Field(default=100 * 2**30, gt=0)
    """Largest sum of an archive's unpacked members, in bytes."""
    max_images: int = Field(default=1_000_000, gt=0)
    """Largest number of members in an archive."""
    max_image_pixels: int = Field(default=64_000_000, gt=0)
    """Largest single image, in pixels; larger ones are skipped and reported."""

    heartbeat_seconds: float = Field(default=10, gt=0)
    """A supervisor tells the store this often that its job is alive, and learns whether it was cancelled."""
    fence_seconds: float = Field(default=45, gt=0)
    """A supervisor whose heartbeat did not get through for this long kills its child: someone else may own the job."""
    lease_seconds: float = Field(default=60, gt=0)
    """A job whose heartbeat counter did not move for this long counts as lost."""
    cancel_poll_seconds: float = Field(default=1, gt=0)
    """A supervisor asks this often whether its job was cancelled."""
    stop_grace_seconds: float = Field(default=5, gt=0)
    """A child told to stop has this long before it is killed."""
    cache_dir: Path | None = None
    """Where a host's training jobs share decoded images and a teacher's answers. None: in `home`."""
    cache_gb: float = Field(default=20, gt=0)
    """The shared cache's bound in 10⁹ bytes; what was not used for longest goes first. A job may exceed it alone."""
    device: str = "auto"
    """Where a training worker trains: `auto`, `cpu`, `cuda`, `cuda:1`."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """How teachers and, on a GPU, students compute. `auto`: what a few timed batches found fastest on this machine."""
    log_level: str = "info"
    """Least severe message that is logged."""

    @model_validator(mode="after")
    def _heartbeat_before_fence_before_lease(self) -> Self:
        if not self.heartbeat_seconds < self.fence_seconds < self.lease_seconds:
            raise ValueError("TDMR_HEARTBEAT_SECONDS < TDMR_FENCE_SECONDS < TDMR_LEASE_SECONDS must hold")
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
    def cache(self) -> Path:
        """Local folder that training jobs of this host share."""
        return self.cache_dir.expanduser().resolve() if self.cache_dir is not None else self.scratch / "cache"

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
