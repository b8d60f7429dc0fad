"""Two versions of a model on rows of a job: compared in a process of its own, one comparison at a time."""

import json
import subprocess
import tempfile
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from models.errors import BusyError, HangtagError
from models.process import python_command, python_environment
from models.registry.registry import Registry
from worker.catalogue_diff.figures import CatalogueFigures
from worker.job.job import Job
from worker.registry.show import VersionName

_ROWS: Final = 400
_KEPT: Final = 32
_END_S: Final = 10.0


class ComparisonKey(NamedTuple):
    """What is compared: a job, and two bundles by their digests."""

    job: str
    before: str
    after: str


@dataclass
class Comparison:
    """A comparison that runs, or has ended.

    Attributes:
        key: what it compares.
        words: the same for people.
        step, done, of: what is being done, how much of it is done, and how much there is.
        figures: what came of it; none while it runs, or if it failed.
        trouble: why it failed, if it did.
    """

    key: ComparisonKey
    words: str
    step: str = "Starting"
    done: int = 0
    of: int = 0
    figures: CatalogueFigures | None = None
    trouble: str | None = None

    @property
    def is_running(self) -> bool:
        """Whether there is neither a result nor a failure yet."""
        return self.figures is None and self.trouble is None


class Comparisons:
    """Runs them, and keeps the latest."""

    def __init__(self) -> None:
        self._kept: OrderedDict[ComparisonKey, Comparison] = OrderedDict()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def find(self, key: ComparisonKey) -> Comparison | None:
        """The comparison of these, if somebody has asked for it."""
        with self._lock:
            return self._kept.get(key)

    def running(self) -> Comparison | None:
        """The one that runs."""
        with self._lock:
            return self._running()

    def start(
        self, key: ComparisonKey, job: Job, registry: Registry, before: VersionName, after: VersionName
    ) -> Comparison:
        """Begin one; one that runs, or has a result, is kept as it is.

        Raises:
            BusyError: another one runs.
        """
        with self._lock:
            known = self._kept.get(key)
            if known and known.trouble is None:
                return known
            if other := self._running():
                msg = f"Expected one comparison at a time, {other.words} runs; wait for it, or stop it."
                raise BusyError(msg)
            found = self._kept[key] = Comparison(key, f"{before} → {after}")
            self._kept.move_to_end(key)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        given = (found, job, registry, before, after)
        self._thread = threading.Thread(target=self._run, args=given, name="compare", daemon=True)
        self._thread.start()
        return found

    def stop(self, key: ComparisonKey) -> None:
        """End one that runs; nothing is kept of it."""
        with self._lock:
            found = self._kept.get(key)
            if found and found.is_running:
                found.trouble = "It was stopped."
                self._end()

    def close(self) -> None:
        """End what runs, and wait until it has ended."""
        with self._lock:
            self._closed = True
            self._end()
        if self._thread:
            self._thread.join(_END_S)  # it removes the folder of the comparison

    def _running(self) -> Comparison | None:
        return next((found for found in self._kept.values() if found.is_running), None)

    def _end(self) -> None:
        if self._process:
            self._process.terminate()

    def _run(self, found: Comparison, job: Job, registry: Registry, before: VersionName, after: VersionName) -> None:
        try:
            paths = [str(registry.path(*version).resolve()) for version in (before, after)]
            with tempfile.TemporaryDirectory(prefix="hangtag-compare-") as folder:
                words = (job.storage.place, *paths, folder, str(_ROWS))
                self._follow(found, python_command("worker.catalogue_diff.diff", *words))
        except (HangtagError, OSError) as error:
            found.trouble = found.trouble or str(error)

    def _follow(self, found: Comparison, command: list[str]) -> None:
        """Take over what the process says until it ends."""
        with self._lock:
            if self._closed or not found.is_running:
                return
            process = self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=python_environment()
            )
        assert process.stdout  # noqa: S101 - it is a pipe
        with process.stdout as lines:
            for line in lines:
                _take(found, json.loads(line))
        status = _wait(process)
        with self._lock:
            self._process = None if self._process is process else self._process
        if found.is_running:
            found.trouble = f"Its process ended with status {status}; the output of the server may say why."


def _take(found: Comparison, said: dict[str, Any]) -> None:
    if "figures" in said:
        found.figures = CatalogueFigures.model_validate(said["figures"])
    elif "refused" in said:
        found.trouble = found.trouble or said["refused"]
    else:
        found.step, found.done, found.of = said["step"], said["done"], said["of"]


def _wait(process: "subprocess.Popen[str]") -> int:
    try:
        return process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
