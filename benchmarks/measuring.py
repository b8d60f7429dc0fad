"""Measure whole commands in turns: medians with their spread, and the machine.

As a program, this module is the parent of a measured command. It adopts processes that the command leaves behind (such
as Ray's processes), so that their processor time counts.
"""

import ctypes
import hashlib
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self, TypeVar

import psutil

T = TypeVar("T")
Spread = dict[str, float]
"""``median``, ``low`` and ``high`` of the turns."""

LOSS = 0.15
_ADOPT = 36
"""``PR_SET_CHILD_SUBREAPER`` of Linux's ``prctl``."""
_LEFT_S = 20.0
_PACKAGES = ("numpy", "pillow", "onnxruntime", "tensorflow", "keras", "pyarrow", "celery")
_INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_tile")


@dataclass(frozen=True)
class Ran:
    """A command that succeeded.

    Attributes:
        seconds: duration of the command.
        processor_s: user and system time of all its processes.
        memory_mb: peak memory of all its processes, shared pages counted once (PSS), in 10⁶ bytes.
        largest_mb: peak memory of the largest process (``VmHWM``).
        said: its output.
    """

    seconds: float
    processor_s: float
    memory_mb: float
    largest_mb: float
    said: str


def run(command: Sequence[object], environment: Mapping[str, str] | None = None) -> Ran:
    """Run a command to its end and measure it; if it fails, exit with its output."""
    words = [sys.executable, "-P", __file__, *map(str, command)]
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complaint:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=said, stderr=complaint, env={**os.environ, **(environment or {})}
        )
        memory = PeakMemory([process.pid], below=True)
        status = process.wait()
        memory.stop()
        said.seek(0)
        complaint.seek(0)
        lines = said.read().splitlines()
        if status:
            sys.exit(f"{' '.join(map(str, command))} ended with status {status}:\n{complaint.read()[-4000:]}")
    largest = max(memory.largest_mb.values(), default=0.0)
    times = json.loads(lines[-1])
    times["processor_s"] = max(times["processor_s"], sum(memory.processor_s.values()))
    return Ran(**times, memory_mb=memory.together_mb, largest_mb=largest, said="\n".join(lines[:-1]))


class PeakMemory:
    """The peak memory of processes and their descendants, sampled at intervals.

    ``below`` leaves out the given processes.

    Attributes:
        together_mb: memory of all processes, shared pages counted once, in 10⁶ bytes.
        largest_mb: memory of the largest process at each depth: the given processes, their children, and so on.
        processor_s: processor time of each process at its last sample. Linux adds a child's time to its parent only if
            the parent waits for the child; Ray does not wait.
    """

    def __init__(self, pids: Iterable[int], *, below: bool = False, every_s: float = 0.25) -> None:
        self.together_mb = 0.0
        self.largest_mb: dict[int, float] = {}
        self.processor_s: dict[int, float] = {}
        self._pids = list(pids)
        self._first = 1 if below else 0
        self._every_s = every_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._done.wait(self._every_s):
            together = 0.0
            for pid, depth in self._descend(self._pids, 0):
                with suppress(OSError, StopIteration, psutil.NoSuchProcess):  # the process has just ended
                    self.processor_s[pid] = sum(psutil.Process(pid).cpu_times()[:2])
                    together += _megabytes(f"/proc/{pid}/smaps_rollup", "Pss")
                    most = _megabytes(f"/proc/{pid}/status", "VmHWM")
                    self.largest_mb[depth] = max(self.largest_mb.get(depth, 0.0), most)
            self.together_mb = max(self.together_mb, together)

    def _descend(self, pids: Iterable[int], depth: int) -> Iterator[tuple[int, int]]:
        for pid in pids:
            if depth >= self._first:
                yield pid, depth
            with suppress(psutil.NoSuchProcess):
                yield from self._descend([child.pid for child in psutil.Process(pid).children()], depth + 1)

    def stop(self) -> Self:
        """Stop sampling."""
        self._done.set()
        self._thread.join()
        return self


def _megabytes(file: str, field: str) -> float:
    with Path(file).open() as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) * 1024 / 1e6


def processor_s(pids: Iterable[int]) -> float:
    """Processor time of processes, of their living descendants, and of their reaped children."""
    total = 0.0
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            for one in (process, *process.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    total += sum(one.cpu_times()[:4])
    return total


def wait_for(what: str, there: Callable[[], object], limit_s: float = 900.0, every_s: float = 0.05) -> None:
    """Poll until ``there`` returns a true value; exit with an error after ``limit_s``."""
    until = time.monotonic() + limit_s
    while not there():
        if time.monotonic() > until:
            sys.exit(f"Expected {what} within {limit_s:.0f} s, got nothing.")
        time.sleep(every_s)


def turns(
    contestants: Mapping[str, Callable[[], T]],
    count: int,
    show: Callable[[str], None] = lambda _: None,
    warm: Mapping[str, Callable[[], T]] | None = None,
) -> dict[str, list[T]]:
    """Call each contestant in turn, ``count`` times; each turn begins with the next contestant.

    To warm the caches, each contestant (or, if given, each of ``warm``) is called once before the turns.
    """
    found: dict[str, list[T]] = {name: [] for name in contestants}
    names = list(contestants)
    for turn in range(count + 1):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            show(f"turn {turn} of {count}: {name}" if turn else f"warming up: {name}")
            result = (contestants if turn else warm or contestants)[name]()
            if turn:
                found[name].append(result)
    return found


def spread(values: Sequence[float]) -> Spread:
    """The median of the turns, and the lowest and the highest."""
    return {"median": _short(statistics.median(values)), "low": _short(min(values)), "high": _short(max(values))}


def ratios(of: Sequence[float], to: Sequence[float]) -> Spread:
    """:func:`spread` of each turn's ratio."""
    return spread([one / other for one, other in zip(of, to, strict=True)])


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def lost(committed: Mapping[str, Spread], found: Mapping[str, Spread]) -> list[str]:
    """A sentence for each ratio that is lost: its median fell by 15%, and all of its turns are below the old median.

    If a turn reaches the old median, the loss is noise: one slow turn, or other load on the machine.

    Raises:
        KeyError: a committed ratio was not measured.
    """
    return [
        f"{name}: {found[name]['median']:.3g} ({found[name]['low']:.3g} to {found[name]['high']:.3g}), "
        f"was {then['median']:.3g}: {1 - found[name]['median'] / then['median']:.0%} less."
        for name, then in committed.items()
        if found[name]["median"] < (1 - LOSS) * then["median"] and found[name]["high"] < then["median"]
    ]


def content_of(*places: Path) -> str:
    """A digest of photos or code, for the names of their results."""
    files = [file for place in places for file in ([place] if place.is_file() else sorted(place.rglob("*")))]
    kept = [file for file in files if file.is_file() and file.suffix != ".pyc"]
    return hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in kept)).hexdigest()


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def machine(note: str) -> dict[str, Any]:
    """The machine, the time and the versions of a measurement; ``note`` describes other load."""
    flags = _cpu("flags").split()
    return {
        "processor": _cpu("model name") or platform.machine(),
        "instructions": [name for name in _INSTRUCTIONS if name in flags],
        "cores": cores(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
        "measured_at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "load_before": round(os.getloadavg()[0], 1),
        "note": note,
    }


def _cpu(field: str) -> str:
    with Path("/proc/cpuinfo").open() as lines:
        return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(field)), "")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _parent(command: Sequence[str]) -> int:
    ctypes.CDLL(None).prctl(_ADOPT, 1, 0, 0, 0)
    began = time.monotonic()
    status = subprocess.call(command)
    seconds = time.monotonic() - began
    _await_all(time.monotonic() + _LEFT_S)
    used = os.times()
    times = {"seconds": seconds, "processor_s": used.children_user + used.children_system}
    print(f"\n{json.dumps(times)}")
    return status


def _await_all(until: float) -> None:
    with suppress(ChildProcessError):
        while True:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
            if time.monotonic() > until:
                for child in psutil.Process().children():
                    child.send_signal(signal.SIGKILL)
            time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(_parent(sys.argv[1:]))
