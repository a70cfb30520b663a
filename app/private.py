"""Files of the service are for its own user: folders 0700, files 0600. Tenants' images and students, the database and
messages lie in them, and other users of the machine have no part in that."""

import os
import stat
from pathlib import Path

from app.settings import Settings

UMASK = 0o077
"""Set where a process of the service begins, and inherited by all that it starts."""
_OTHERS = 0o077


def keep_private(settings: Settings) -> None:
    """Make new files private from now on, and what an earlier version has left in the home and the cache.

    Storage elsewhere keeps what it has: who shares a folder between hosts may mean it. Other files in the home are none
    of ours.
    """
    os.umask(UMASK)
    home = settings.root
    if _is_open(home):
        for path in (*home.glob("tdmr.db*"), home / "service.json"):
            _tighten(path)
        for folder in (settings.broker_folder, home / "blobs", settings.scratch):
            _tighten_all(folder)
        _tighten(home)
    if _is_open(settings.cache):
        _tighten_all(settings.cache)


def _tighten_all(folder: Path) -> None:
    """The folder itself comes last: until then a walk that was cut short is repeated at the next start."""
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            _tighten(Path(parent, name))
    _tighten(folder)


def _is_open(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & _OTHERS)
    except FileNotFoundError:
        return False


def _tighten(path: Path) -> None:
    try:
        found = path.lstat()
        if not stat.S_ISLNK(found.st_mode) and found.st_mode & _OTHERS:
            path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)
    except (FileNotFoundError, PermissionError):  # removed in this moment, or another user's
        pass
