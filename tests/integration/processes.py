"""``hangtag`` commands and workers as separate processes."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.command import clean_environment, one_line, run_hangtag
from tests.until import until

READY = "ready."
PLUGINS = Path(__file__).parents[1] / "plugins"


def with_bad_formats() -> dict[str, str]:
    """Environment for the test image formats that crash or hang their decoder."""
    return {"PYTHONPATH": os.pathsep.join([str(PLUGINS), *filter(None, [os.environ.get("PYTHONPATH")])])}


@dataclass
class WorkerProcess:
    """A worker: a main process and its children, in one session so that they can be killed together."""

    process: "subprocess.Popen[bytes]"
    log: Path

    @classmethod
    def start(cls, command: tuple[str, ...], log: Path, env: dict[str, str], folder: Path) -> "WorkerProcess":
        with log.open("wb") as file:
            process = subprocess.Popen(
                command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, env=env, cwd=folder, start_new_session=True
            )
        return cls(process, log)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def pids(self) -> list[int]:
        main = psutil.Process(self.pid)
        return [self.pid, *(child.pid for child in main.children(recursive=True))]

    def events(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self._lines() if line["event"] == event]

    def _lines(self) -> list[dict[str, Any]]:
        texts = self.log.read_text(errors="replace").splitlines(keepends=True)
        return [json.loads(text) for text in texts if text.startswith("{") and text.endswith("\n")]

    def wait_until_ready(self) -> None:
        until(lambda: not self.alive or self._is_ready(), "a worker is ready")
        assert self.alive, self.log.read_text()

    def _is_ready(self) -> bool:
        return any(line["message"].endswith(READY) for line in self.events("celery.apps.worker"))

    def terminate(self) -> None:
        """Send SIGTERM to the main process, like a supervisor."""
        self.process.send_signal(signal.SIGTERM)

    def signal_all(self, sign: signal.Signals) -> None:
        os.killpg(self.pid, sign)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        self.signal_all(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal_all(signal.SIGCONT)

    def kill_all(self) -> None:
        """Kill the main process and its children at once, like a power cut."""
        if self.process.returncode is None:
            self.signal_all(signal.SIGKILL)
            self.process.wait()


class Processes:
    """Starts workers and other processes in a test's folder, and ends running ones after the test."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self._lead = environment
        self.processes: list[WorkerProcess] = []

    @property
    def environment(self) -> dict[str, str]:
        """This process's environment, with variables that the test has set since (credentials, for example)."""
        return clean_environment(**self._lead)

    def start(self, command: tuple[str, ...], env: Mapping[str, str] | None = None) -> WorkerProcess:
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        log = self.folder / f"process-{len(self.processes)}.log"
        process = WorkerProcess.start(command, log, {**self.environment, **(env or {})}, elsewhere)
        self.processes.append(process)
        return process

    def hangtag(self, *arguments: object, **changes: str) -> "subprocess.CompletedProcess[str]":
        return run_hangtag(*arguments, env=self.environment | changes)

    def must(self, *arguments: object) -> str:
        """Run a command that must succeed; return its output on one line."""
        done = self.hangtag(*arguments)
        assert done.returncode == 0, done.stderr
        return one_line(done.stdout)

    def close(self) -> None:
        """Kill running processes, and print their logs for the report of a failed test."""
        for process in self.processes:
            process.kill_all()
            print(f"--- {process.log.name}, exit status {process.process.returncode}\n{process.log.read_text()}")
