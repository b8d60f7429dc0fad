"""A folder for the temporary files of one process; what killed processes left is removed at the next start."""

import atexit
import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["use_own_temporary_folder"]

_PREFIX: Final = "hangtag-process-"
_BEGUN: Final = ".hangtag-process-"


def use_own_temporary_folder() -> None:
    """Give this process, and those that it starts, a folder of its own for temporary files (``TMPDIR``).

    TensorFlow and Celery put files there and remove them at exit; a killed process leaves them. The folder is removed
    at exit, and the folders of processes that are gone are removed now. Each folder is locked while its process lives;
    the system ends the lock with the process. Where nothing can be written, the folder stays the usual one.
    """
    with suppress(OSError):
        place = Path(tempfile.gettempdir())
        for left in place.glob(f"{_PREFIX}*"):
            _remove_left(left)
        begun = Path(tempfile.mkdtemp(prefix=_BEGUN, dir=place))
        fcntl.flock(os.open(begun, os.O_RDONLY), fcntl.LOCK_EX)
        folder = begun.rename(place / begun.name.removeprefix("."))  # under its name it has always been locked
        atexit.register(_remove, folder, os.getpid())
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder)


def _remove_left(folder: Path) -> None:
    """Remove the folder of a process that is gone; one that is locked, or somebody else's, stays."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if os.fstat(handle).st_uid == os.geteuid():
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(handle)


def _remove(folder: Path, owner: int) -> None:
    """At the exit of the owner; a process that it has forked uses the folder and leaves it."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
