"""Runs ``hangtag retrain`` as a process of its own: TensorFlow's memory goes with it, and it ends with its worker."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

_PAUSE_S: Final = 0.1
_SET_DEATH_SIGNAL: Final = 1
"""``PR_SET_PDEATHSIG`` of prctl(2); it outlives execve(2)."""

_MOST_CHARACTERS: Final = 2000


@dataclass(frozen=True)
class CycleEnd:
    """How the process of a cycle ended, and whether it was told to stop.

    Attributes:
        status: its exit status; negative where a signal ended it.
        outcome: what it printed as JSON, if it did.
        message: the end of what it wrote to stderr.
    """

    status: int
    outcome: dict[str, Any] | None
    message: str
    stopped: bool


def run_cycle(command: Sequence[str], stops: Callable[[], bool], grace_s: float) -> CycleEnd:
    """Run a command to its end; should this process die, it is killed.

    Args:
        command: prints the cycle's outcome as JSON.
        stops: whether to stop; the command then gets SIGINT, after which ``hangtag retrain`` can resume.
        grace_s: seconds that it has to do so before it is killed.
    """
    launcher = [sys.executable, "-P", "-m", "trainer.schedule.cycle_process", str(os.getpid())]
    with TemporaryDirectory(prefix="hangtag-cycle-") as folder:
        stdout, stderr = Path(folder) / "stdout", Path(folder) / "stderr"
        with stdout.open("wb") as out, stderr.open("wb") as err:
            process = subprocess.Popen([*launcher, *command], stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        stopped, until = False, float("inf")
        try:
            while process.poll() is None and time.monotonic() <= until:
                if not stopped and stops():
                    process.send_signal(signal.SIGINT)
                    stopped, until = True, time.monotonic() + grace_s
                time.sleep(_PAUSE_S)
        finally:
            process.kill()
            process.wait()
        message = stderr.read_text(encoding="utf-8", errors="replace").strip()[-_MOST_CHARACTERS:]
        try:
            outcome = json.loads(stdout.read_bytes())
        except ValueError:
            outcome = None
        return CycleEnd(process.returncode, outcome if isinstance(outcome, dict) else None, message, stopped)


def _become(parent: int, command: Sequence[str]) -> None:
    """Become the command, which gets SIGKILL as soon as ``parent`` is dead."""
    ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() == parent:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a pool's processes ignore it, and so would what they start
        os.execvp(command[0], list(command))  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
