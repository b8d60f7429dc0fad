"""This process and its children: the cache, the folder for temporary files, how Python is started."""

import atexit
import fcntl
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

_PREFIX: Final = "hangtag-process-"
_TRIM, _MAP = -1, -3
"""``M_TRIM_THRESHOLD`` and ``M_MMAP_THRESHOLD`` of glibc's ``mallopt(3)``."""
_REUSED_BYTES: Final = 32 * 1024**2


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/hangtag``, or ``~/.cache/hangtag``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "hangtag"


def usable_cores() -> int:
    """How many logical cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def python_command(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module of ours; ``-P`` keeps the current folder off ``sys.path``."""
    return [sys.executable, "-P", "-m", module, *arguments]


def python_environment() -> dict[str, str]:
    """This process's environment, with our packages importable and numerical libraries held to one thread."""
    packages = str(Path(__file__).parents[1])
    paths = [packages, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def reuse_memory() -> None:
    """Have the memory of one photo used for the next, in a process that decodes many.

    By default glibc gives it back each time, and asks for it again: thousands of page faults a photo, a quarter of the
    time of a WebP. At most 64 MiB are kept, and none of a block of more than 32 MiB.
    """
    import ctypes  # most commands need none

    with suppress(OSError, AttributeError):  # another C library
        for parameter, size in ((_MAP, _REUSED_BYTES), (_TRIM, 2 * _REUSED_BYTES)):
            ctypes.CDLL(None).mallopt(parameter, size)


def use_own_temporary_folder() -> None:
    """Give this process, and those that it starts, a folder of its own for temporary files (``TMPDIR``).

    TensorFlow and Celery put files there and remove them at exit; a killed process leaves them. The folder is removed
    at exit, and the folders of processes that are gone are removed now. Each folder is locked while its process lives;
    the system ends the lock with the process. If no folder can be made, the usual one is used.
    """
    with suppress(OSError):
        place = Path(tempfile.gettempdir())
        for left in place.glob(f"{_PREFIX}*"):
            _remove_left(left)
        begun = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}", dir=place))
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
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
