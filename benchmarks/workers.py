"""Real ``hangtag worker`` processes, each in its own session: SIGKILL can reach all processes of a worker."""

import contextlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import psutil


class Workers:
    """Workers that are restarted after they end, as by a supervisor."""

    def __init__(self, count: int, folder: Path, environment: dict[str, str], concurrency: int = 1) -> None:
        self._count = count
        self._folder = folder
        self._environment = {**os.environ, **environment}
        self._concurrency = concurrency
        self._processes: list[subprocess.Popen[bytes]] = []
        self._started = 0

    def __enter__(self) -> "Workers":
        self.supervise()
        return self

    def __exit__(self, *exc: object) -> None:
        for process in self._processes:
            self._end(process)

    def supervise(self) -> None:
        """Start the missing workers."""
        self._processes = [process for process in self._processes if process.poll() is None]
        while len(self._processes) < self._count:
            self._processes.append(self._start())

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "hangtag", "worker", "--workers", str(self._concurrency)]
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f"worker-{self._started}.log").open("wb") as log:
            self._started += 1
            return subprocess.Popen(
                command, stdout=log, stderr=log, env=self._environment, start_new_session=True, stdin=subprocess.DEVNULL
            )

    def main_pids(self) -> list[int]:
        """Process IDs of the workers' main processes."""
        return [process.pid for process in self._processes]

    def _descendants(self) -> list[psutil.Process]:
        found: list[psutil.Process] = []
        for process in self._processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                found += psutil.Process(process.pid).children(recursive=True)
        return found

    def kill_one_child(self, chance: random.Random) -> None:
        """Kill one process that a worker has started, with SIGKILL."""
        children = self._descendants()
        if children:
            with contextlib.suppress(psutil.NoSuchProcess):
                chance.choice(children).kill()

    def kill_one_worker(self, chance: random.Random) -> None:
        """Kill all processes of a worker at once, with SIGKILL."""
        if self._processes:
            self._end(chance.choice(self._processes))

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
