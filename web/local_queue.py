"""Labels jobs on this machine, without Redis: one after another, each in a process of its own."""

import fcntl
import subprocess
import threading
from pathlib import Path
from typing import Final

from models.process import python_command, python_environment
from models.whole_file import open_lock
from worker.job.job import Job
from worker.label import LOCK_FILE

_END_S: Final = 10.0
_SAID: Final = 600


class LocalQueue:
    """Labels jobs on this machine, one after another, each in a process of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, list[str]] = {}
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._failed: dict[str, str] = {}
        self._stopped: set[str] = set()
        self._closed = False

    def add(self, id: str, command: list[str]) -> None:
        """Have a job labelled by a command when its turn comes; again if it runs, which may be about to end."""
        with self._lock:
            if not self._closed:
                self._failed.pop(id, None)
                self._waiting[id] = command
        self._start_next()

    def stop(self, id: str) -> None:
        """Take a job out of the line, or interrupt the process that labels it."""
        with self._lock:
            self._waiting.pop(id, None)
            running = self._running.get(id)
            if running:
                self._stopped.add(id)
                running.send_signal(2)

    def knows(self, id: str) -> bool:
        """Whether a job waits or is being labelled here."""
        with self._lock:
            return id in self._waiting or id in self._running

    def is_running(self, id: str) -> bool:
        """Whether a job is being labelled here."""
        with self._lock:
            return id in self._running

    def words(self, id: str) -> str | None:
        """What stands in a job's way: an empty text while it runs; None if nothing is known of it."""
        with self._lock:
            if id in self._running:
                return ""
            if id in self._waiting:
                return "It waits until another job of this machine is done."
            return f"Labelling stopped: {self._failed[id]}" if id in self._failed else None

    def close(self) -> None:
        """Interrupt what runs, and wait until it has ended."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
            running = list(self._running.values())
        for process in running:
            process.send_signal(2)
        for process in running:
            _end(process)

    def _start_next(self) -> None:
        with self._lock:
            if self._running or not self._waiting:
                return
            id = next(iter(self._waiting))
            process = subprocess.Popen(
                self._waiting.pop(id),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env=python_environment(),
            )
            self._running[id] = process
        threading.Thread(target=self._wait, args=(id, process), daemon=True, name=f"label {id}").start()

    def _wait(self, id: str, process: "subprocess.Popen[str]") -> None:
        said = process.communicate()[1].rpartition("hangtag: ")[2].strip()
        with self._lock:
            del self._running[id]
            if process.returncode and id not in self._stopped:
                self._failed[id] = said[-_SAID:] or f"its process ended with status {process.returncode}"
            self._stopped.discard(id)
        self._start_next()


def _end(process: "subprocess.Popen[str]") -> None:
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()


def label_command(job: Job, result: Path, *more: str) -> list[str]:
    """The command that goes on with a job of ``hangtag label``, as its folder tells it."""
    spec, options = job.spec, job.spec.options
    given = {
        "--variant": None if spec.named else job.model.variant,  # each question goes on with its own
        "--out": str(result),
        "--image-column": spec.image_column,
        "--image-root": spec.image_root,
        "--group-column": options.group_column,
        "--precision": options.precision,
        "--threshold": options.threshold,
        "--prefix": options.prefix or None,
        "--top-k": options.top_k,
        "--decode-timeout": options.timeout_s,
        "--per-host": options.per_host,
    }
    models = [f"{one.name}={one.model.path}" if one.name else one.model.path for one in job.questions]
    words = [word for model in models for word in ("--model", model)]
    words += [word for name, value in given.items() if value is not None for word in (name, str(value))]
    hosts = [word for host in options.allow_hosts or () for word in ("--allow-host", host)]
    safe = ["--excel-safe"] if options.excel_safe else []
    return python_command("hangtag", "label", *words, *hosts, *safe, *more, "--", spec.source)


def is_at_work(job: Job) -> bool:
    """Whether a process of this machine, of whatever command, labels a job in a folder."""
    folder = job.storage.on_disk("")
    if folder is None or not (folder / LOCK_FILE).exists():
        return False
    with open_lock(folder / LOCK_FILE) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
