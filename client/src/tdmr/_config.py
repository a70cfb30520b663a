"""Where the service is and which key opens it: arguments, then TDMR_BASE_URL and TDMR_API_KEY, then what `tdmr login`
has saved, then a service on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from tdmr.errors import TdmrError

DEFAULT_URL = "http://127.0.0.1:8000"
_WINDOWS = sys.platform == "win32"


@dataclass(frozen=True)
class Config:
    """An address and a key. The key is not shown."""

    base_url: str
    api_key: str | None

    def __repr__(self) -> str:
        return f"Config(base_url={self.base_url!r}, api_key={'set' if self.api_key else None!r})"

    @property
    def account(self) -> str:
        """Tells services and keys apart in the names of files, and gives no key away."""
        return hashlib.sha256(f"{self.base_url}\n{self.api_key or ''}".encode()).hexdigest()[:16]


def find_config(base_url: str | None = None, api_key: str | None = None) -> Config:
    """
    Raises:
        TdmrError: the address is none.
    """
    saved = read_saved()
    url = base_url or os.environ.get("TDMR_BASE_URL") or (saved.base_url if saved else None) or DEFAULT_URL
    url = url.rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise TdmrError(f"{url!r} is no address of a service. It looks like http://127.0.0.1:8000.")
    key = api_key or os.environ.get("TDMR_API_KEY")
    # a saved key is for the address it was saved with, and goes to no other
    if key is None and saved is not None and saved.base_url == url:
        key = saved.api_key
    return Config(url, key)


def read_saved() -> Config | None:
    """What `tdmr login` has saved."""
    try:
        saved = json.loads(config_file().read_text())
        return Config(str(saved["base_url"]), saved.get("api_key"))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save(config: Config) -> Path:
    """Write it where nobody else can read it."""
    path = config_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, stat.S_IRUSR | stat.S_IWUSR)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"base_url": config.base_url, "api_key": config.api_key}, file)
    temporary.replace(path)
    return path


def config_file() -> Path:
    """TDMR_CONFIG, or `tdmr/config.json` in the user's folder of settings."""
    if chosen := os.environ.get("TDMR_CONFIG"):
        return Path(chosen)
    home = os.environ.get("APPDATA") if _WINDOWS else os.environ.get("XDG_CONFIG_HOME")
    return Path(home or Path.home() / ".config") / "tdmr" / "config.json"


def cache_folder() -> Path:
    """TDMR_CACHE, or `tdmr` in the user's folder of caches."""
    if chosen := os.environ.get("TDMR_CACHE"):
        return Path(chosen)
    home = os.environ.get("LOCALAPPDATA") if _WINDOWS else os.environ.get("XDG_CACHE_HOME")
    return Path(home or Path.home() / ".cache") / "tdmr"
