"""The current process: its temporary folder, memory and machine."""

import atexit
import fcntl
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_PREFIX: Final = "hangtag-process-"
_TRIM, _MAP = -1, -3
"""Parameters of glibc's ``mallopt(3)``."""
_REUSED_BYTES: Final = 32 * 1024**2


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/hangtag``, or ``~/.cache/hangtag``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "hangtag"


def usable_cores() -> int:
    """How many logical cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def python_command(module: str, *arguments: str) -> list[str]:
    """The command line that runs one of Hangtag's modules; ``-P`` keeps the current folder off ``sys.path``."""
    return [sys.executable, "-P", "-m", module, *arguments]


def python_environment() -> dict[str, str]:
    """Environment for a child process that imports Hangtag and uses one thread in numerical libraries."""
    packages = str(Path(__file__).parents[1])
    paths = [packages, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def reuse_memory() -> None:
    """Reuse the memory of one photo for the next, in processes that decode many photos.

    By default, glibc returns the memory to the system after each photo. The resulting page faults take 25% of a WebP's
    decoding time. The process keeps at most 64 MiB of free memory, and no block of more than 32 MiB.
    """
    import ctypes

    with suppress(OSError, AttributeError):  # not glibc
        for parameter, size in ((_MAP, _REUSED_BYTES), (_TRIM, 2 * _REUSED_BYTES)):
            ctypes.CDLL(None).mallopt(parameter, size)


def use_own_temporary_folder() -> None:
    """Give this process and its children their own folder for temporary files (``TMPDIR``).

    TensorFlow and Celery remove their temporary files at exit, but not if the process is killed. The folder is removed
    at exit. Also removes the folders of ended processes, whose locks the system has released. If no folder can be
    created, the usual temporary folder is used.
    """
    with suppress(OSError):
        place = Path(tempfile.gettempdir())
        for left in place.glob(f"{_PREFIX}*"):
            _remove_left(left)
        begun = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}", dir=place))
        fcntl.flock(os.open(begun, os.O_RDONLY), fcntl.LOCK_EX)
        folder = begun.rename(place / begun.name.removeprefix("."))  # locked before the folder gets its final name
        atexit.register(_remove, folder, os.getpid())
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder)


def _remove_left(folder: Path) -> None:
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


_CPUINFO: Final = Path("/proc/cpuinfo")
_BOARD: Final = Path("/proc/device-tree/model")
_INSTRUCTIONS: Final = {
    "avx2": "avx2",
    "avx512f": "avx512f",
    "avx512_vnni": "avx512_vnni",
    "avx_vnni": "avx_vnni",
    "amx_int8": "amx_int8",
    "asimddp": "dotprod",
    "i8mm": "i8mm",
    "asimdhp": "fp16",
    "sve": "sve",
}
"""Maps CPU flags of Linux to the usual names of instructions that affect the speed of a network."""


@dataclass(frozen=True)
class Machine:
    """A machine: processor, number of usable cores, instructions, versions."""

    cpu: str
    cores: int
    instructions: tuple[str, ...]
    system: str
    python: str
    onnxruntime: str


def this_machine(cpuinfo: Path = _CPUINFO, board: Path = _BOARD) -> Machine:
    """Describe this machine.

    Only Linux has a file ``cpuinfo``. On Arm, ``cpuinfo`` lacks the processor's name. On small computers, ``board``
    contains the computer's model.
    """
    pairs = (line.partition(":") for line in _text(cpuinfo).splitlines())
    facts = {key.strip(): value.strip() for key, _, value in pairs}  # all cores are assumed to be equal
    flags = set(facts.get("flags", facts.get("Features", "")).split())
    return Machine(
        cpu=facts.get("model name") or _text(board).strip("\0\n ") or platform.processor() or "unknown",
        cores=usable_cores(),
        instructions=tuple(name for flag, name in _INSTRUCTIONS.items() if flag in flags),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        onnxruntime=version("onnxruntime"),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


@lru_cache(maxsize=1)
def boot_id() -> str:
    """The kernel's random UUID of this boot."""
    if sys.platform == "darwin":
        return _printed("sysctl", "-n", "kern.bootsessionuuid")
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


@dataclass(frozen=True)
class Owner:
    """The identity of a process, for other processes and machines.

    Attributes:
        host: the machine's name, shown to people.
        machine: identifies a machine, boot and container.
        started: start time, in clock ticks since the machine's boot (on macOS: seconds since 1970). Distinguishes
            processes that reuse a ``pid``.
    """

    host: str
    machine: str
    pid: int
    started: int

    @classmethod
    def this(cls) -> Self:
        """This process."""
        pid = os.getpid()
        return cls(socket.gethostname(), _machine(), pid, _start_of(pid) or 0)

    @property
    def same_machine(self) -> bool:
        """Whether the process started on this machine, in this container, since the last boot."""
        return self.machine == _machine()

    @property
    def known_dead(self) -> bool:
        """Whether the process has certainly ended. False for a process on another machine."""
        return self.same_machine and _start_of(self.pid) != self.started

    def to_json(self) -> str:
        """JSON for other processes."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> "Owner":
        """The inverse of :meth:`to_json`. Raises ValueError for invalid text."""
        return _owners().validate_json(text, strict=True)


@lru_cache(maxsize=1)
def _owners() -> "TypeAdapter[Owner]":
    from pydantic import TypeAdapter  # slow to import

    return TypeAdapter(Owner)


@lru_cache(maxsize=1)
def _machine() -> str:
    if sys.platform == "darwin":  # macOS has no namespaces
        return boot_id()
    return f"{boot_id()}/{Path('/proc/self/ns/pid').readlink()}"


def _start_of(pid: int) -> int | None:
    return _start_by_ps(pid) if sys.platform == "darwin" else _start_by_stat(pid)


def _start_by_ps(pid: int) -> int | None:
    state, _, started = _printed("ps", "-o", "stat=,lstart=", "-p", str(pid)).partition(" ")
    if not state or state.startswith("Z"):
        return None
    return int(time.mktime(time.strptime(started.strip(), "%a %b %d %H:%M:%S %Y")))


def _printed(*command: str) -> str:
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment).stdout.strip()


def _start_by_stat(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else int(fields[19])
